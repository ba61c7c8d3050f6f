"""To what a student can be pruned, and what is tried of it, against brute force."""

import dataclasses

import numpy as np
import pytest

from tailor_tf.method.levels import MOST_TRIED, Levels
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.costs import student_cost
from tailor_tf.records.level import Level
from tailor_tf.support.errors import TailorError
from tests import builders

FULL = Architecture.full(4, 3)
NUMBERS = tuple(Level(number) for number in range(5))


@pytest.fixture
def levels(rng):
    gates = {path: rng.uniform(0.06, 1) for path in FULL.paths}
    graph = builders.small_graph()
    return Levels(FULL, gates, 0.05, lambda architecture: student_cost(graph, architecture, 5))


def _cost(levels, level):
    return levels.cost(levels.pruning(level).architecture)


@pytest.mark.parametrize("count", ["multiply_adds", "parameters", "task_parameters"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 1.0])
def test_within_a_budget_are_the_variants_with_most_proxies(levels, count, share):
    most = share * _cost(levels, Level(0))[count]
    found = {level.blocks: level for level in levels.within(NUMBERS, {count: most})}

    def same(one, other):
        return levels.pruning(one) == levels.pruning(other)

    for number in NUMBERS:
        proxies = range(len(levels.pruning(number).architecture.proxies), -1, -1)
        variants = [dataclasses.replace(number, proxies=kept) for kept in proxies]
        fitting = [v for v in variants if _cost(levels, v)[count] <= most]
        alike = [v for v in found.values() if fitting and same(v, fitting[0])]
        assert bool(alike) == bool(fitting)
    architectures = [levels.pruning(level).architecture for level in found.values()]
    assert len(set(architectures)) == len(architectures), "no network is tried twice"


def test_a_budget_that_no_level_is_within_says_what_the_least_is(levels):
    least = min(
        _cost(levels, dataclasses.replace(number, proxies=kept)).multiply_adds
        for number in NUMBERS
        for kept in range(len(levels.pruning(number).architecture.proxies))
    )
    with pytest.raises(TailorError, match=f"10 multiply-adds; the least .* is {least:,} multiply"):
        levels.within(NUMBERS, {"multiply_adds": 10})


def test_nearest_is_the_leanest_that_has_all_paths(levels):
    assert levels.nearest(Level(3), [Level(0), Level(2), Level(1), Level(4)]) == Level(2)
    assert levels.nearest(Level(0), [Level(1), Level(2)]) is None
    proxies = len(levels.pruning(Level(1)).architecture.proxies)
    assert levels.nearest(Level(1, proxies - 2), [Level(0), Level(1)]) == Level(1)


def test_the_leanest_has_fewer_blocks_and_then_fewer_proxies(levels):
    fewer = levels.with_fewer_proxies(Level(2))
    enough = {Level(0), Level(1), Level(2), *fewer[:2]}
    found = levels.leanest(NUMBERS, {}, lambda level: float(level in enough), goal=0.5)
    assert found.chosen == fewer[1] and found.within_tolerance
    assert {Level(2), Level(3), fewer[1]} <= set(found.tried) <= {*NUMBERS, *fewer}
    assert len(found.tried) <= MOST_TRIED


@pytest.mark.parametrize("last", [0.77, 0.81])
def test_where_near_misses_are_all_there_is_larger_networks_are_tried(levels, last):
    accuracies = {Level(1): 0.78, Level(2): 0.76, Level(3): 0.7, Level(0): last}
    found = levels.leanest(NUMBERS, {}, accuracies.__getitem__, goal=0.8, margin=lambda level: 0.05)
    assert found.tried == (Level(1), Level(3), Level(2), Level(0))
    assert found.chosen == (Level(0) if last > 0.8 else Level(1))
    assert found.within_tolerance == (last > 0.8)


@pytest.mark.parametrize("blocks", range(5))
def test_fewer_proxies_make_other_networks(levels, blocks):
    found = levels.with_fewer_proxies(Level(blocks))
    left = [levels.pruning(level).architecture for level in (Level(blocks), *found)]
    assert len(set(left)) == len(left)
    counts = [len(architecture.proxies) for architecture in left]
    assert counts == sorted(counts, reverse=True)


def test_a_level_without_proxies_ends_the_search():
    levels = Levels(FULL, dict.fromkeys(FULL.paths, 0.5), 1.0, lambda _: None)
    found = levels.leanest((Level(0),), {}, lambda level: 1.0, goal=0.5)
    assert found.tried == (Level(0),)


def test_of_a_budget_alone_the_largest_few_are_tried(levels):
    whole = _cost(levels, Level(0)).parameters
    accuracies = dict(zip(NUMBERS, np.linspace(0.5, 0.9, 5), strict=True))
    found = levels.most_accurate(NUMBERS, {"parameters": whole}, accuracies.get)
    assert found.tried == NUMBERS[:3] and found.chosen == Level(2)
