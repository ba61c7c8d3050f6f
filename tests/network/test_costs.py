import dataclasses
import math

import keras
import numpy as np
import pytest
import safetensors
import tensorflow as tf

from tailor_tf import backbones
from tailor_tf.method.compaction import compact
from tailor_tf.method.student import build_student
from tailor_tf.network import costs, counting, weights
from tailor_tf.network.architecture import Architecture, Path
from tests.builders import count_multiply_adds, random_architecture, small_graph

CLASSES = 5


@pytest.fixture(scope="module", params=["small", "tiny"])
def network(request):
    return request.getfixturevalue(request.param)


class TestPaths:
    # small graph: images 8x8x3 -> x_0 8x8x3 -> x_1 8x8x4 -> x_2 4x4x6 -> x_3 4x4x6 -> x_4 2x2x8
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            # 3x3 convolution + batch norm + gate
            (Path.block(2), 4 * 4 * 4 * 6 * 3 * 3 + 2 * 4 * 4 * 6 + 4 * 4 * 6),
            # 1x1 convolution behind a pool that is free + batch norm + gate
            (Path.proxy(2, source=0), 4 * 4 * 3 * 6 * 1 * 1 + 2 * 4 * 4 * 6 + 4 * 4 * 6),
            (Path.proxy(4, source=1), 2 * 2 * 4 * 8 * 1 * 1 + 2 * 2 * 2 * 8 + 2 * 2 * 8),
        ],
    )
    def test_multiply_adds(self, small, path, expected):
        assert costs.path_multiply_adds(small.graph, path) == expected

    def test_bottleneck_proxy_squeezes_channels(self):
        # 16 = max(8 // 32, 16) channels in between, 1x1 convolution and batch norm twice, a gate
        graph = dataclasses.replace(small_graph(), proxies="bottleneck")
        expected = 2 * 2 * 4 * 16 + 2 * 2 * 2 * 16 + 2 * 2 * 16 * 8 + 2 * 2 * 2 * 8 + 2 * 2 * 8
        assert costs.path_multiply_adds(graph, Path.proxy(4, source=1)) == expected

    @pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50"])
    def test_fitted_proxies_cost_little_beside_their_block(self, name):
        """At most an eighth of it, or else no more than any kind of proxy of the paper."""
        made = backbones.create(name)
        kinds = {
            kind: dataclasses.replace(made, proxies=kind)
            for kind in ("fitted", "plain", "bottleneck")
        }
        for path in Architecture.full(16, 1).proxies:
            fitted, plain, bottleneck = (_without_gate(graph, path) for graph in kinds.values())
            share = _without_gate(kinds["plain"], Path.block(path.target)) / 8
            if plain <= share:
                assert fitted == plain
            elif fitted > share:  # the narrowest bottleneck is too much as well
                assert fitted <= min(plain, bottleneck)

    def test_fitted_proxies_of_resnet50_are_bottlenecks(self):
        # Block 2 has 256 * 64 + 64 * 64 * 9 + 64 * 256 multiply-adds a position, 2 * (64 + 64 +
        # 256) of batch norms; an eighth of it minus 2 * 256 pays for 16 times 256 + 256 + 2.
        graph = dataclasses.replace(backbones.create("resnet50"), proxies="fitted")
        block = 256 * 64 + 64 * 64 * 9 + 64 * 256 + 2 * (64 + 64 + 256)
        width = (block / 8 - 2 * 256) // (256 + 256 + 2)
        found = _without_gate(graph, Path.proxy(2, source=1))
        assert found == 56 * 56 * (256 * width + 2 * width + width * 256 + 2 * 256)

    def test_shares_are_of_stem_and_blocks(self, small):
        graph = small.graph
        architecture = Architecture.full(4, 3)
        shares = costs.path_shares(graph, architecture)
        stem = 8 * 8 * 3 * 3 * 3 * 3 + 2 * 8 * 8 * 3
        blocks = sum(costs.path_multiply_adds(graph, Path.block(j)) for j in (1, 2, 3, 4))
        gates = sum(math.prod(graph.node_shape(layer)) for layer in (1, 2, 3, 4))
        total = stem + blocks - gates
        assert costs.universal_complexity(graph) == total
        assert set(shares) == set(architecture.paths)
        for path, share in shares.items():
            assert share == pytest.approx(costs.path_multiply_adds(graph, path) / total)


def _without_gate(graph, path):
    return costs.path_multiply_adds(graph, path) - math.prod(graph.node_shape(path.target))


class TestNetwork:
    def test_cost_is_that_of_the_model(self, network):
        cost = costs.network_cost(network.graph, 7)
        statistic = ("moving_mean", "moving_variance")
        sizes = {v.path: math.prod(v.shape) for v in network.model.weights}
        stored = sum(sizes.values())
        assert cost.parameters == sum(n for p, n in sizes.items() if not p.endswith(statistic))
        assert cost.task_parameters == stored
        assert (cost.universal_blocks, cost.proxies) == (network.graph.num_blocks, 0)

    def test_convolutions_agree_with_tensorflows_profiler(self, tiny):
        model = keras.Model(tiny.model.input, tiny.model.output["logits"])
        function = tf.function(model).get_concrete_function(tf.TensorSpec((1, 16, 16, 3)))
        options = tf.compat.v1.profiler.ProfileOptionBuilder(
            tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        )
        options = options.with_node_names(show_name_regexes=[".*convolution.*", ".*MatMul.*"])
        options = options.account_displayed_op_only(True).with_empty_output().build()
        profile = tf.compat.v1.profiler.profile(function.graph, options=options)
        batch_norms = sum(
            2 * math.prod(layer.output.shape[1:])
            for layer in model.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        )
        expected = costs.network_cost(tiny.graph, 7).multiply_adds - batch_norms
        assert profile.total_float_ops == 2 * expected  # a multiply-add is two operations there


class TestStudent:
    @pytest.mark.parametrize("seed", range(3))
    def test_cost_is_that_of_the_compacted_network(self, network, seed):
        graph = network.graph
        architecture = random_architecture(graph.num_blocks, np.random.default_rng(seed), 2)
        student = build_student(network, architecture, CLASSES)
        plain = compact(student)
        cost = costs.student_cost(graph, architecture, CLASSES)
        assert cost.multiply_adds == count_multiply_adds(plain) == counting.multiply_adds(plain)
        gates = len(architecture.paths)  # constants of the compacted network, weights of a student
        assert (
            cost.parameters
            == counting.parameters(plain) + gates
            == counting.parameters(student.model)
        )
        assert cost.universal_blocks == len(architecture.universal_blocks)
        assert cost.proxies == gates - cost.universal_blocks

    @pytest.mark.parametrize("seed", range(2))
    def test_task_parameters_are_the_numbers_stored(self, network, seed, tmp_path):
        architecture = random_architecture(network.graph.num_blocks, np.random.default_rng(seed), 2)
        student = build_student(network, architecture, CLASSES)
        tensors = {key: v.numpy() for key, v in student.task_weights().items()}
        weights.write(tmp_path / "task.safetensors", tensors, {})
        with safetensors.safe_open(tmp_path / "task.safetensors", framework="numpy") as file:
            stored = sum(file.get_tensor(key).size for key in file.keys())  # noqa: SIM118
        cost = costs.student_cost(network.graph, architecture, CLASSES)
        assert cost.task_parameters == stored
