import itertools

import numpy as np
import pytest
import tensorflow as tf

from tailor_tf.method import complexity
from tailor_tf.method.compaction import compact
from tailor_tf.method.pruning import close
from tailor_tf.method.student import build_student
from tailor_tf.network import costs
from tailor_tf.network.architecture import Architecture, Path
from tests.builders import (
    count_multiply_adds,
    random_architecture,
    random_gates,
    surviving,
)

ESTIMATORS = sorted(complexity.ESTIMATORS)

# Graphs small enough to try every setting of their gates, by layers and max_skip:
#   2, dense: x_0 => x_1 => x_2 and x_0 -> x_2              5 paths
#   3, 1:     x_0 => x_1 => x_2 => x_3                      6 paths
#   3, 2:     ... and x_0 -> x_2, x_1 -> x_3                8 paths
#   3, 3:     ... and x_0 -> x_3                            9 paths
# where => is a universal block beside a proxy.
SMALL_GRAPHS = [(1, 1), (2, None), (3, 1), (3, 2), (3, 3)]

# Graphs whose ways into or out of any node share no path: independence holds there.
DISJOINT = {
    "chain": Architecture(4, (*map(Path.block, (1, 3, 4)), Path.proxy(2, source=1))),
    # x_0 => x_1 -> x_2 -> x_3: two paths side by side, both from the stem
    "doubled start": Architecture(
        3, (Path.block(1), Path.proxy(1, source=0), Path.block(2), Path.proxy(3, source=2))
    ),
    # x_0 -> x_1 -> x_3 and x_0 -> x_2 -> x_3
    "diamond": Architecture(
        3, (Path.block(1), Path.proxy(2, source=0), Path.block(3), Path.proxy(3, source=1))
    ),
    # x_0 -> x_1 -> x_4, x_0 -> x_2 -> x_3 -> x_4, x_0 -> x_4
    "three strands": Architecture(
        4,
        (
            Path.block(1),
            Path.proxy(4, source=1),
            Path.proxy(2, source=0),
            Path.block(3),
            Path.block(4),
            Path.proxy(4, source=0),
        ),
    ),
}


def _random_costs(architecture, rng):
    return {path: rng.uniform(0.1, 1.0) for path in architecture.paths}


def _free_gates(architecture, rng):
    return {path: rng.uniform() for path in architecture.paths}


def _settings(architecture):
    """Every way to switch paths on and off."""
    for bits in itertools.product((0.0, 1.0), repeat=len(architecture.paths)):
        yield dict(zip(architecture.paths, bits, strict=True))


def _cost_of_survivors(setting, architecture, path_costs):
    on = tuple(path for path in architecture.paths if setting[path])
    return sum(path_costs[p] for p in surviving(Architecture(architecture.num_blocks, on)))


def _expectation(path_gates, architecture, path_costs):
    """Mean cost of what survives when every path exists on its own with its gate's probability."""
    total = 0.0
    for setting in _settings(architecture):
        probability = np.prod([g if setting[p] else 1 - g for p, g in path_gates.items()])
        total += probability * _cost_of_survivors(setting, architecture, path_costs)
    return total


def _paper_by_tables(path_gates, architecture, path_costs):
    """Eq. 5-10 over tables `[source, target, universal]`; absent paths cost nothing."""
    size = architecture.num_blocks + 1
    r, cost, exists = np.ones((size, size, 2)), np.zeros((size, size, 2)), np.zeros((size, size, 2))
    for path, alpha in path_gates.items():
        place = path.source, path.target, int(path.universal)
        r[place], exists[place], cost[place] = 1 - alpha, 1, path_costs[path]
    no_input = r.prod((0, 2))  # over everything that leads into a node; absent paths are factors 1
    no_input[0] = 0
    no_reader = r.prod((1, 2))  # over everything that leaves a node
    no_reader[-1] = 0
    kept = 1 - r - no_input[:, None, None] - no_reader[None, :, None]
    return float((cost * exists * kept).sum())


class TestPaper:
    @pytest.mark.parametrize(("layers", "max_skip"), [*SMALL_GRAPHS, (6, 1), (6, 3), (6, None)])
    @pytest.mark.parametrize("seed", range(3))
    def test_is_the_equation(self, layers, max_skip, seed):
        rng = np.random.default_rng(seed)
        architecture = Architecture.full(layers, max_skip)
        path_costs = _random_costs(architecture, rng)
        for path_gates in (random_gates(architecture, rng), _free_gates(architecture, rng)):
            expected = _paper_by_tables(path_gates, architecture, path_costs)
            received = complexity.paper(path_gates, architecture, path_costs)
            assert received == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("seed", range(10))
    def test_is_the_equation_after_pruning(self, seed):
        rng = np.random.default_rng(seed)
        architecture = random_architecture(6, rng)
        path_costs, path_gates = _random_costs(architecture, rng), random_gates(architecture, rng)
        expected = _paper_by_tables(path_gates, architecture, path_costs)
        received = complexity.paper(path_gates, architecture, path_costs)
        assert received == pytest.approx(expected, rel=1e-9)

    def test_two_layers_by_hand(self):
        # x_0 => x_1 => x_2; a, b: block and proxy of layer 1; c, d: of layer 2
        architecture = Architecture.full(2, 1)
        a, b, c, d = 0.9, 0.1, 0.7, 0.3
        path_gates = dict(zip(architecture.paths, (a, b, c, d), strict=True))
        path_costs = dict(zip(architecture.paths, (4.0, 3.0, 2.0, 1.0), strict=True))
        expected = (
            4 * (a - (1 - c) * (1 - d))
            + 3 * (b - (1 - c) * (1 - d))
            + 2 * (c - (1 - a) * (1 - b))
            + 1 * (d - (1 - a) * (1 - b))
        )
        received = complexity.paper(path_gates, architecture, path_costs)
        assert received == pytest.approx(expected)

    def test_counts_everything_where_all_gates_are_one(self, rng):
        architecture = Architecture.full(5, 3)
        path_costs = _random_costs(architecture, rng)
        path_gates = dict.fromkeys(architecture.paths, 1.0)
        received = complexity.paper(path_gates, architecture, path_costs)
        assert received == pytest.approx(sum(path_costs.values()))


class TestReachability:
    @pytest.mark.parametrize(("layers", "max_skip"), SMALL_GRAPHS)
    def test_is_exact_for_every_setting_of_hard_gates(self, rng, layers, max_skip):
        architecture = Architecture.full(layers, max_skip)
        path_costs = _random_costs(architecture, rng)
        for setting in _settings(architecture):
            expected = _cost_of_survivors(setting, architecture, path_costs)
            received = complexity.reachability(setting, architecture, path_costs)
            assert received == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("seed", range(5))
    def test_hard_gates_cost_what_the_compacted_network_costs(self, small, seed):
        rng = np.random.default_rng(seed)
        full = Architecture.full(4, 3)
        path_costs = {path: costs.path_multiply_adds(small.graph, path) for path in full.paths}
        left = random_architecture(4, rng, 3)
        dead_end = Path.block(3)  # survives only if what is left reaches and reads it
        on = {*left.paths, dead_end}
        setting = {path: float(path in on) for path in full.paths}
        kept = close(Architecture(4, tuple(on)))
        plain = compact(build_student(small, kept, 5))
        stem = 8 * 8 * 3 * 3 * 3 * 3 + 2 * 8 * 8 * 3
        head = 2 * 2 * 2 * 8 + 8 * 5
        received = complexity.reachability(setting, full, path_costs)
        assert received == count_multiply_adds(plain) - stem - head

    @pytest.mark.parametrize("name", DISJOINT)
    @pytest.mark.parametrize("seed", range(3))
    def test_is_the_expectation_where_ways_share_no_path(self, name, seed):
        rng = np.random.default_rng(seed)
        architecture = DISJOINT[name]
        path_costs, path_gates = _random_costs(architecture, rng), _free_gates(architecture, rng)
        expected = _expectation(path_gates, architecture, path_costs)
        received = complexity.reachability(path_gates, architecture, path_costs)
        assert received == pytest.approx(expected, rel=1e-9)

    # Ways that share paths depend on each other in the same direction, so that "some way is open"
    # is less likely than for independent ways: elsewhere the estimate is an upper bound.
    @pytest.mark.parametrize(("layers", "max_skip"), SMALL_GRAPHS)
    @pytest.mark.parametrize("seed", range(2))
    def test_is_never_below_the_expectation(self, layers, max_skip, seed):
        rng = np.random.default_rng(seed)
        architecture = Architecture.full(layers, max_skip)
        path_costs, path_gates = _random_costs(architecture, rng), _free_gates(architecture, rng)
        expected = _expectation(path_gates, architecture, path_costs)
        received = complexity.reachability(path_gates, architecture, path_costs)
        assert expected - 1e-9 <= received <= sum(path_costs.values())

    @pytest.mark.parametrize("seed", range(3))
    def test_pruned_paths_cost_the_same_as_closed_gates(self, seed):
        rng = np.random.default_rng(seed)
        left, full = random_architecture(5, rng), Architecture.full(5, None)
        path_costs, path_gates = _random_costs(full, rng), random_gates(left, rng)
        closed = {path: path_gates.get(path, 0.0) for path in full.paths}
        assert complexity.reachability(path_gates, left, path_costs) == pytest.approx(
            complexity.reachability(closed, full, path_costs)
        )


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(("layers", "max_skip"), [(1, 1), (3, 2), (6, None)])
class TestTensors:
    def test_gradient_is_the_slope(self, rng, name, layers, max_skip):
        estimate = complexity.ESTIMATORS[name]
        architecture = Architecture.full(layers, max_skip)
        path_costs, values = _random_costs(architecture, rng), _free_gates(architecture, rng)
        variables = {path: tf.Variable(value, dtype="float64") for path, value in values.items()}
        with tf.GradientTape() as tape:
            total = estimate(variables, architecture, path_costs)
        assert float(total) == pytest.approx(estimate(values, architecture, path_costs))
        gradients = tape.gradient(total, variables)
        for path, gradient in gradients.items():
            more, less = (
                estimate({**values, path: values[path] + step}, architecture, path_costs)
                for step in (1e-5, -1e-5)
            )
            assert float(gradient) == pytest.approx((more - less) / 2e-5, abs=1e-6)

    def test_gradient_is_finite_at_hard_gates(self, rng, name, layers, max_skip):
        architecture = Architecture.full(layers, max_skip)
        path_costs = _random_costs(architecture, rng)
        for value in (0.0, 1.0):
            variables = {path: tf.Variable(value) for path in architecture.paths}
            with tf.GradientTape() as tape:
                total = complexity.ESTIMATORS[name](variables, architecture, path_costs)
            gradients = tape.gradient(total, list(variables.values()))
            assert all(np.isfinite(gradient) for gradient in gradients)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_students_logits_get_a_gradient(small, name):
    architecture = Architecture.full(4, 3)
    student = build_student(small, architecture, 5)
    path_costs = costs.path_shares(small.graph, architecture)
    logits = [v for v in student.model.trainable_variables if v.path.endswith("_gate/logits")]
    with tf.GradientTape() as tape:
        total = complexity.ESTIMATORS[name](student.gates(), architecture, path_costs)
    gradients = tape.gradient(total, [v.value for v in logits])
    assert len(gradients) == 4
    assert all(np.isfinite(g).all() and np.any(g) for g in gradients)


class TestDrivenWeight:
    @staticmethod
    def _expected(weight):
        """E[C] of a student that lowers it the more the higher its weight is."""
        return 1.2 / (1 + weight)

    @pytest.mark.parametrize("target", [0.1, 0.3, 0.7])
    @pytest.mark.parametrize("steps", [200, 2000])
    def test_it_ends_at_the_target(self, target, steps):
        driven = complexity.DrivenWeight(0.3, target, steps=steps)
        expected = 1.0
        for _ in range(steps):
            # The gates follow the weight slowly.
            expected += (self._expected(float(driven.variable)) - expected) * 20 / steps
            driven.update(expected)
        assert expected == pytest.approx(target, rel=0.1)

    def test_it_stays_positive_and_bounded(self):
        driven = complexity.DrivenWeight(0.3, 0.5, steps=100)
        for expected, least, most in ((-3.0, 0.09, 0.11), (1e6, 0.8, 0.9), (0.5, 0.29, 0.31)):
            driven.update(expected)
            assert least < float(driven.variable) < most
