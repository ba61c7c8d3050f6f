"""Numbers and tables as text."""

import pytest

from tailor_tf.support.text import aligned, amount, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00234, "0.00234"),
        (0.58, "0.580"),
        (1.4571, "1.46"),
        (53.79, "53.8"),
        (-53.79, "-53.8"),
        (1234.4, "1,234"),
        (12_345_678, "12,345,678"),
    ],
)
def test_three_significant_digits(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(7, "7.00"), (999, "999"), (50_000, "50.0 k"), (100_000, "0.100 M"), (1_457_114, "1.46 M")],
)
def test_counts_in_thousands_and_millions(count, text):
    assert amount(count) == text


def test_columns_of_words_are_left_and_columns_of_numbers_right():
    assert aligned([["name", "kind", "seconds"], ["a", "long one", "7"]], words=2) == [
        "| name | kind     | seconds |",
        "| ---- | -------- | ------: |",
        "| a    | long one |       7 |",
    ]
