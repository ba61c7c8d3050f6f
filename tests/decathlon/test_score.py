"""The decathlon's score against the published ones."""

import pytest

from tailor_tf.decathlon import score

# Recomputed from the rounded accuracies; the papers' own differ by up to two points.
SCORES = {
    "fine-tuning": 2500,
    "LwF": 2517,
    "Piggyback": 2840,
    "DAN": 2852,
    "parallel residual adapters": 3412,
    "NetTailor, as published": 3744,
    "URL + parallel adapters": 4005,
}
MEANS = {
    "fine-tuning": 76.51,
    "LwF": 76.93,
    "Piggyback": 76.60,
    "DAN": 77.01,
    "parallel residual adapters": 78.07,
    "NetTailor, as published": 79.64,
    "URL + parallel adapters": 80.52,
}


@pytest.mark.parametrize("row", score.PUBLISHED, ids=lambda row: row.method)
def test_published_rows(row):
    assert round(score.score(row.accuracies)) == SCORES[row.method]
    assert row.mean == pytest.approx(MEANS[row.method], abs=0.006)


def test_fine_tuning_is_worth_a_quarter_of_the_points():
    for domain, accuracy in score.FINE_TUNING.accuracies.items():
        assert score.points(domain, accuracy) == pytest.approx(250)


def test_ends_of_the_scale():
    assert score.points("svhn", 100) == 1000
    assert score.points("svhn", 90) == 0  # an error of 10 is more than twice 3.45
    assert score.next_point("svhn", 100) == 0
    # Emax = 2 * 40.13; accuracy 59.87 and 60.87
    assert score.next_point("imagenet12", 59.87) == pytest.approx(
        1000 * ((80.26 - 39.13) / 80.26) ** 2 - 250
    )


def test_a_domain_that_is_none_and_a_fraction_instead_of_percent():
    with pytest.raises(ValueError, match=r"no domain 'flowers'; its domains are imagenet12"):
        score.points("flowers", 50)
    with pytest.raises(ValueError, match="accuracy on dtd is 101; expected 0 to 100 percent"):
        score.points("dtd", 101)
