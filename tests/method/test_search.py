"""Which levels are tried and taken."""

import itertools
import math

import numpy as np
import pytest

from tailor_tf.method import search
from tailor_tf.method.pruning import close, prune
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.costs import smallest, student_cost
from tailor_tf.records.level import Level
from tailor_tf.support.statistics import paired_error, standard_error
from tests import builders

LEVELS = tuple(Level(number) for number in range(13))


def _counted(accuracies):
    """A function that gives the accuracy of a level, and the levels it was asked for."""
    asked = []

    def accuracy(level):
        asked.append(level)
        return accuracies[level]

    return accuracy, asked


@pytest.mark.parametrize("leanest", [None, *range(13)])
def test_search_finds_the_leanest_level_in_a_logarithm_of_tries(leanest):
    last = -1 if leanest is None else leanest
    accuracies = {level: 0.9 if level.blocks <= last else 0.5 for level in LEVELS}
    accuracy, asked = _counted(accuracies)
    found = search.bisect(LEVELS, accuracy, goal=0.8)
    assert found.within_tolerance == (leanest is not None)
    assert leanest is None or found.chosen == Level(leanest)
    assert found.tried == tuple(asked)
    assert len(set(asked)) == len(asked) <= 1 + math.ceil(math.log2(len(LEVELS) * 2 / 3))


@pytest.mark.parametrize(
    ("accuracies", "tried", "chosen"),
    [
        # 0.77 misses 0.8 by less than the margin: leaner ones are tried, and 8 is enough.
        ({4: 0.77, 8: 0.81, 10: 0.7, 9: 0.76}, (4, 8, 10, 9), 8),
        # It is taken for chance as often as it comes.
        ({4: 0.76, 8: 0.5, 6: 0.78, 7: 0.7}, (4, 8, 6, 7), 6),
        ({4: 0.74, 1: 0.78, 2: 0.8, 3: 0.79}, (4, 1, 2, 3), 2),
        # A miss by more than the margin is none.
        ({4: 0.6, 1: 0.7, 0: 0.9}, (4, 1, 0), 0),
    ],
)
def test_a_miss_within_the_margin_may_be_chance(accuracies, tried, chosen):
    accuracies = {Level(number): value for number, value in accuracies.items()}
    found = search.bisect(LEVELS, accuracies.__getitem__, goal=0.8, margin=lambda level: 0.05)
    assert [level.blocks for level in found.tried] == list(tried)
    assert found.chosen == Level(chosen)
    assert found.within_tolerance == (accuracies[Level(chosen)] >= 0.8)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_search_ends_after_so_many_tries(most):
    accuracy, asked = _counted({level: 0.9 - 0.01 * level.blocks for level in LEVELS})
    found = search.bisect(LEVELS, accuracy, goal=0.8, most=most)
    assert len(asked) == most and found.chosen in asked


@pytest.mark.parametrize("seed", range(5))
def test_search_takes_what_was_measured_to_be_within(seed):
    rng = np.random.default_rng(seed)
    accuracies = {level: rng.uniform() for level in LEVELS}
    found = search.bisect(LEVELS, accuracies.__getitem__, goal=0.5)
    reached = {level: accuracies[level] for level in found.tried}
    if found.within_tolerance:
        assert found.chosen.blocks == max(
            level.blocks for level, value in reached.items() if value >= 0.5
        )
    else:
        assert reached[found.chosen] == max(reached.values()) < 0.5


def test_first_within_stops_there():
    accuracy, asked = _counted({Level(8): 0.7, Level(6): 0.85, Level(4): 0.9})
    found = search.first_within([Level(8), Level(6), Level(4)], accuracy, goal=0.8)
    assert (found.chosen, found.tried, found.within_tolerance) == (
        Level(6),
        (Level(8), Level(6)),
        True,
    )
    assert asked == [Level(8), Level(6)]
    none = search.first_within([Level(8), Level(6)], accuracy, goal=0.99)
    assert (none.chosen, none.within_tolerance) == (Level(6), False)


def test_most_accurate_tries_all():
    accuracies = {Level(2): 0.8, Level(3, 4): 0.9, Level(4): 0.85}
    found = search.most_accurate(list(accuracies), accuracies.__getitem__)
    assert (found.chosen, found.tried) == (Level(3, 4), tuple(accuracies))


@pytest.mark.parametrize("level", [Level(0), Level(12), Level(6, 0), Level(6, 11)])
def test_levels_have_names(level):
    assert Level.parse(level.name) == level


def test_a_level_in_words():
    assert str(Level(1)) == "1 universal block to remove"
    assert str(Level(6, 8)) == "6 universal blocks to remove, 8 proxies to keep"


@pytest.mark.parametrize(("accuracy", "images"), [(0.5, 100), (0.9, 140), (0.97, 500)])
def test_standard_error_is_the_deviation_of_many_draws(accuracy, images):
    draws = np.random.default_rng(0).binomial(images, accuracy, 100_000) / images
    assert standard_error(accuracy, images=images) == pytest.approx(draws.std(), rel=0.1)
    assert 0 < standard_error(1.0, images=images) < 0.02


def test_the_error_of_a_paired_difference_is_the_deviation_of_many_draws(rng):
    """Two networks that are wrong on the same images in most cases."""
    images, draws = 400, 20_000
    kinds = rng.choice(4, p=[0.85, 0.08, 0.04, 0.03], size=(draws, images))  # none, both, only one
    only, only_other = ((kinds == kind).sum(1) for kind in (2, 3))
    differences = (only - only_other) / images
    found = [paired_error(b, c, images=images) for b, c in zip(only, only_other, strict=True)]
    assert np.mean(found) == pytest.approx(differences.std(), rel=0.03)


CURVES = [[0.2, 0.5, 0.7, 0.75, 0.8, 0.82]]  # gains 0.12 from the third epoch on


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0.1, 0.1], False),  # less than half of the epochs; leaner networks learn more slowly
        ([0.2, 0.5, 0.7], False),  # 0.82 is within reach
        ([0.2, 0.5, 0.69], False),  # 0.81 and the margin
        ([0.2, 0.5, 0.66], True),  # 0.78 and the margin
        ([0.69, 0.2, 0.3], False),  # the best epoch counts
    ],
)
def test_hopeless(curve, expected):
    assert search.is_out_of_reach(curve, CURVES, goal=0.82, margin=0.02) == expected


def test_nothing_is_hopeless_before_a_level_was_trained_to_its_end():
    assert not search.is_out_of_reach([0.1] * 5, [], goal=0.9, margin=0.0)


@pytest.fixture
def gates(rng):
    full = Architecture.full(4, 3)
    return full, {path: rng.uniform(0.06, 1) for path in full.paths}


@pytest.mark.parametrize("blocks", [0, 2, 4])
@pytest.mark.parametrize("proxies", [0, 1, 3, 100])
def test_as_many_proxies_as_asked_for_are_kept_the_strongest(gates, blocks, proxies):
    full, values = gates
    most = prune(full, values, num_blocks=blocks)
    fewer = prune(full, values, num_blocks=blocks, num_proxies=proxies)
    assert close(fewer.architecture) == fewer.architecture, "the exclusion rules hold"
    if not fewer.restored:
        assert len(fewer.architecture.proxies) <= proxies
        assert set(fewer.architecture.paths) <= set(most.architecture.paths)
        strongest = sorted(most.architecture.proxies, key=values.get, reverse=True)[:proxies]
        assert set(fewer.architecture.proxies) <= set(strongest)
    if proxies >= len(most.architecture.proxies):
        assert fewer == most


@pytest.mark.parametrize("count", ["multiply_adds", "parameters", "task_parameters"])
def test_the_smallest_network_is_that_of_brute_force(count):
    graph, full = builders.small_graph(), Architecture.full(4, 2)
    possible = (
        close(Architecture(4, chosen))
        for number in range(1, 5)
        for chosen in itertools.combinations(full.paths, number)
    )
    costs = [student_cost(graph, a, 5)[count] for a in possible if a.paths]
    assert smallest(graph, full, 5, count) == min(costs)
