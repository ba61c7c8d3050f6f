"""The accuracy that is expected of a chosen network, against a known truth."""

import numpy as np
import pytest

from tailor_tf.method import search
from tailor_tf.method.expectation import expected_difference
from tailor_tf.records.level import Level


def accuracies(levels):
    return {level: right.mean() for level, right in levels.items()}


def most_accurate(levels, teacher):
    return search.choose(accuracies(levels), max(accuracies(levels).values())).chosen


def leanest_within(levels, teacher):
    return search.choose(accuracies(levels), teacher.mean() - 0.005).chosen


def test_of_one_network_it_is_the_difference_on_the_images(rng):
    teacher, level = rng.random(400) < 0.9, rng.random(400) < 0.85
    found = expected_difference(teacher, {Level(1): level}, leanest_within)
    assert found == pytest.approx(level.mean() - teacher.mean(), abs=0.002)


@pytest.mark.parametrize("choose", [most_accurate, leanest_within])
@pytest.mark.parametrize("images", [200, 1000])
def test_it_is_nearer_to_the_truth_than_the_images_that_were_chosen_on(choose, images):
    """Networks of known accuracy; each image is harder or easier for all of them alike."""
    truths = {Level(blocks): 0.90 - 0.003 * blocks for blocks in range(8)}
    shown, expected, true = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        hardness = rng.random(images)

        def right(accuracy, rng=rng, hardness=hardness):
            own = rng.random(images) < 0.3  # of the images, decided by the network's own chance
            return np.where(own, rng.random(images), hardness) < accuracy

        teacher = right(0.9)
        levels = {level: right(accuracy) for level, accuracy in truths.items()}
        chosen = choose(levels, teacher)
        shown.append(levels[chosen].mean() - teacher.mean())
        expected.append(expected_difference(teacher, levels, choose, draws=100))
        true.append(truths[chosen] - 0.9)
    bias, promised = np.mean(shown) - np.mean(true), np.mean(expected) - np.mean(true)
    assert bias > 0.003, "the images flatter what was chosen on them"
    assert abs(promised) < 0.6 * bias
