"""Numbers and tables as text."""

import pytest

from tailor_tf.support.text import (
    aligned,
    amount,
    markdown,
    one_line,
    printable,
    shortened,
    significant,
)


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "plain, \u65e5\u672c, \u0645\u0631, \U0001f600",
            "plain, \u65e5\u672c, \u0645\u0631, \U0001f600",
        ),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x1b[2J\x07\x9b\x7f", r"\x1b[2J\x07\x9b\x7f"),
        ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
        ("\u202ea\u2066", r"\u202ea\u2066"),
        ("caf\udce9", r"caf\udce9"),
        ("\ufffe\U0001ffff", r"\ufffe\U0001ffff"),
    ],
)
def test_only_what_is_seen_is_printed(text, shown):
    assert printable(text) == shown
    shown.encode("utf-8")


def test_a_table_keeps_its_line_breaks():
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_a_message_is_one_line():
    assert one_line("\nfirst \r\n  second\n\nthird\x1b\n") == r"first second third\x1b"


@pytest.mark.parametrize("character", list("\\|`<["))
def test_markup_is_shown_as_it_is(character):
    """CommonMark: a backslash before any ASCII punctuation makes it literal."""
    assert markdown(f"a{character}b") == f"a\\{character}b"


def test_cells_of_a_table_are_its_columns():
    lines = aligned([["a|b", "c"], ["d\n| e | f |", "g"]])
    assert lines[2] == r"| d\\n\| e \| f \| | g |"
    assert len(lines) == 3 and {len(line) for line in lines} == {len(lines[0])}


def test_long_names_end_in_dots():
    assert shortened("abcdef", 6) == "abcdef" and shortened("abcdefg", 6) == "abc..."
