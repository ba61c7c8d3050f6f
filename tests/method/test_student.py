import keras
import numpy as np
import pytest

from tailor_tf import backbones
from tailor_tf.backbones.universal import Universal
from tailor_tf.method.student import (
    build_student,
    build_teacher,
    initial_logit,
    prune_student,
)
from tailor_tf.network import blocks, keys, weights
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.factories import NewLayers
from tailor_tf.network.graph import build_network
from tests.builders import images, random_architecture, random_student, universal

CLASSES = 5
EPSILON = 1e-5


class _NumpyStudent:
    """Forward pass of a student of `builders.small_graph` in NumPy (eq. 2 to 4), inference mode."""

    STRIDES = (1, 2, 1, 2)

    def __init__(self, student):
        self.values = {
            key: value.astype("float64") for key, value in weights.arrays(student).items()
        }

    def __call__(self, x, architecture):
        nodes = [np.maximum(self.conv_bn(x, "stem_conv", "stem_bn", 1), 0)]
        for layer in range(1, 5):
            logits = self.values[f"block{layer}_gate/logits"]
            gates = np.exp(logits) / np.exp(logits).sum()
            paths = [self.path(path, nodes) for path in architecture.into(layer)]
            nodes.append(np.maximum(sum(g * y for g, y in zip(gates, paths, strict=True)), 0))
        features = self.batch_norm(nodes[-1], "head_bn").mean((1, 2))
        logits = features @ self.values["classifier/kernel"] + self.values["classifier/bias"]
        return logits, nodes[1:]

    def path(self, path, nodes):
        x, name = nodes[path.source], path.name
        if path.universal:
            return self.conv_bn(x, f"{name}_conv", f"{name}_bn", self.STRIDES[path.target - 1])
        factor = int(np.prod(self.STRIDES[path.source : path.target]))
        return self.conv_bn(self.max_pool(x, factor), f"{name}_conv", f"{name}_bn", 1)

    def conv_bn(self, x, conv, batch_norm, stride):
        kernel = self.values[f"{conv}/kernel"]
        windows = self.windows(x, kernel.shape[0], stride)
        return self.batch_norm(np.einsum("bhwcij,ijco->bhwo", windows, kernel), batch_norm)

    def batch_norm(self, x, name):
        gamma, beta, mean, variance = (
            self.values[f"{name}/{kind}"]
            for kind in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta

    def max_pool(self, x, factor):
        return self.windows(x, factor + 1, factor).max((-2, -1)) if factor > 1 else x

    @staticmethod
    def windows(x, size, stride):
        """`[batch, height, width, channels, size, size]`, zeros added on every side."""
        x = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
        views = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
        return views[:, ::stride, ::stride]


class TestForward:
    @pytest.mark.parametrize("max_skip", [1, 3, None])
    def test_is_the_equation(self, small, rng, max_skip):
        architecture = Architecture.full(4, max_skip)
        student = random_student(small, architecture, rng, CLASSES)
        x = images(small.graph, rng)
        logits, nodes = _NumpyStudent(student.model)(x, architecture)
        outputs = student.model(x, training=False)
        np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-4, atol=1e-4)
        for received, expected in zip(outputs["nodes"], nodes, strict=True):
            np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)

    def test_nodes_are_those_of_the_layers_left(self, small, rng):
        # layer 2 is gone: x_0 => x_1 -> x_3 => x_4
        architecture = Architecture.full(4, 3)
        architecture = architecture.without([*architecture.into(2), *architecture.out_of(2)])
        outputs = build_student(small, architecture, CLASSES).model(images(small.graph, rng))
        shapes = [tuple(node.shape[1:]) for node in outputs["nodes"]]
        assert shapes == [(8, 8, 4), (4, 4, 6), (2, 2, 8)]

    def test_starts_close_to_the_universal_network(self, small):
        student = build_student(small, Architecture.full(4, 3), CLASSES)
        gates = student.gate_values()
        # softmax of +2 for the universal block and -2 for each of n proxies
        for path, proxies in ((Path.block(1), 1), (Path.block(3), 3)):
            expected = np.exp(2) / (np.exp(2) + proxies * np.exp(-2))
            assert gates[path] == pytest.approx(expected, rel=1e-5)
        assert initial_logit(Path.proxy(3, source=0)) == -2.0


class TestUniversalWeights:
    def test_kernels_are_the_universal_networks_and_frozen(self, tiny):
        student = build_student(tiny, Architecture.full(12, 3), CLASSES)
        trainable = {id(variable) for variable in student.model.trainable_variables}
        kernels = [v for v in tiny.model.weights if v.path.endswith("_conv/kernel")]
        kernels += [v for v in tiny.model.weights if v.path.split("/")[0][-6:-1] == "_conv"]
        assert len(kernels) == 1 + 2 * 12
        own = weights.variables(student.model)
        for kernel in kernels:
            assert own[kernel.path] is kernel
            assert id(kernel) not in trainable

    def test_kernels_of_a_trainable_network_are_frozen_as_well(self, small):
        source = Universal(small.graph, build_network(small.graph, 7))
        student = build_student(source, Architecture.full(4, 3), CLASSES)
        trainable = {variable.path for variable in student.model.trainable_variables}
        assert "stem_conv/kernel" not in trainable
        assert not [path for path in trainable if not keys.is_task(path)]

    def test_task_trains_proxies_gates_head_and_classifier(self, tiny):
        student = build_student(tiny, Architecture.full(12, 3), CLASSES)
        for variable in student.model.trainable_variables:
            assert keys.is_task(variable.path), variable.path
        kinds = {variable.path for variable in student.model.trainable_variables}
        assert {"head_bn/gamma", "head_bn/beta", "classifier/kernel", "classifier/bias"} <= kinds
        universal_affine = {"stem_bn/gamma", "block1_bn1/gamma", "block12_bn2/beta"}
        assert universal_affine <= {v.path for v in student.model.non_trainable_variables}
        proxies = [path for path in kinds if "_proxy" in path]
        assert len(proxies) == 3 * len(Architecture.full(12, 3).proxies)  # kernel, gamma, beta

    def test_a_training_call_moves_statistics_and_nothing_else(self, tiny, rng):
        architecture = Architecture.full(12, 3)
        student = random_student(tiny, architecture, rng, CLASSES)
        before, universal_before = weights.arrays(student.model), weights.arrays(tiny.model)
        student.model(images(tiny.graph, rng, batch=4), training=True)
        for key, value in weights.arrays(student.model).items():
            moved = key.endswith(("/moving_mean", "/moving_variance"))
            assert np.array_equal(value, before[key]) != moved, key
        for key, value in weights.arrays(tiny.model).items():
            np.testing.assert_array_equal(value, universal_before[key])

    def test_stem_statistics_after_one_call(self, small, rng):
        student = random_student(small, Architecture.full(4, 3), rng, CLASSES)
        x = images(small.graph, rng, batch=4)
        mean = student.model.get_layer("stem_bn").moving_mean.numpy()
        kernel = student.model.get_layer("stem_conv").weights[0].numpy()
        windows = _NumpyStudent.windows(x, 3, 1)
        batch = np.einsum("bhwcij,ijco->bhwo", windows, kernel).mean((0, 1, 2))
        student.model(x, training=True)
        received = student.model.get_layer("stem_bn").moving_mean.numpy()
        np.testing.assert_allclose(received, 0.9 * mean + 0.1 * batch, rtol=1e-4, atol=1e-6)

    def test_two_students_share_kernels_and_nothing_else(self, small):
        a, b = (build_student(small, Architecture.full(4, 3), CLASSES) for _ in range(2))
        ours, theirs = (student.model.weights for student in (a, b))
        shared = {id(v) for v in ours} & {id(v) for v in theirs}
        names = {v.path for v in ours if id(v) in shared}
        assert names == {
            "stem_conv/kernel",
            *(f"block{layer}_conv/kernel" for layer in range(1, 5)),
        }


def test_teacher_is_a_trainable_copy(tiny, rng):
    teacher = build_teacher(tiny, CLASSES)
    source = weights.variables(tiny.model)
    for key, variable in weights.variables(teacher).items():
        assert variable is not source[key]
        if not keys.is_classifier(key):
            np.testing.assert_array_equal(variable, source[key])
    assert teacher.output["logits"].shape[-1] == CLASSES
    trainable = {variable.path for variable in teacher.trainable_variables}
    assert {"stem_conv/kernel", "block3_bn1/gamma", "classifier/bias"} <= trainable


class TestBottleneckProxies:
    def test_resnet50_has_them(self, rng):
        graph = backbones.create("resnet50", image_size=32)
        path = Path.proxy(4, source=3)  # from 8x8x256 to 4x4x512
        architecture = Architecture(16, (*(Path.block(j) for j in range(1, 17)), path))
        student = build_student(universal(graph, rng), architecture, CLASSES)
        variables = weights.variables(student.model).items()
        shapes = {key: tuple(v.shape) for key, v in variables if key.startswith(path.name)}
        assert shapes["block4_proxy3_conv1/kernel"] == (1, 1, 256, 16)
        assert shapes["block4_proxy3_conv2/kernel"] == (1, 1, 16, 512)
        assert len(shapes) == 2 + 2 * 4

    @pytest.mark.parametrize(
        ("channels", "width"), [(64, 16), (512, 16), (544, 17), (1024, 32), (2048, 64)]
    )
    def test_width_in_between(self, channels, width):
        x = keras.Input((2, 2, 8))
        target = (2, 2, channels)
        y = blocks.proxy(
            x, target, width=blocks.bottleneck_width(target[-1]), name="proxy", layers=NewLayers()
        )
        model = keras.Model(x, y)
        widths = [model.get_layer(f"proxy_conv{index}").filters for index in (1, 2)]
        assert widths == [width, channels]


class TestPruneStudent:
    @pytest.mark.parametrize("seed", range(3))
    def test_keeps_weights_and_renormalises_gates(self, small, seed):
        rng = np.random.default_rng(seed)
        before, after = Architecture.full(4, None), random_architecture(4, rng)
        student = random_student(small, before, rng, CLASSES)
        values = weights.arrays(student.model)
        pruned = prune_student(student, after)

        for key, variable in weights.variables(pruned.model).items():
            if not key.endswith("_gate/logits"):
                np.testing.assert_array_equal(variable, values[key], err_msg=key)
        old, new = student.gate_values(), pruned.gate_values()
        assert set(new) == set(after.paths)
        for layer in after.layers:
            total = sum(old[path] for path in after.into(layer))
            for path in after.into(layer):
                assert new[path] == pytest.approx(old[path] / total, rel=1e-5)

    def test_student_before_is_unchanged(self, small, rng):
        before = Architecture.full(4, 3)
        student = random_student(small, before, rng, CLASSES)
        values = weights.arrays(student.model)
        pruned = prune_student(student, random_architecture(4, rng, 3))
        pruned.model(images(small.graph, rng, 4), training=True)
        for key, value in weights.arrays(student.model).items():
            np.testing.assert_array_equal(value, values[key], err_msg=key)

    def test_logits_by_path(self, small, rng):
        architecture = Architecture.full(4, 3)
        student = random_student(small, architecture, rng, CLASSES)
        logits, gates = student.gate_logits(), student.gate_values()
        for layer in architecture.layers:
            exponentials = {path: np.exp(logits[path]) for path in architecture.into(layer)}
            for path, value in exponentials.items():
                assert gates[path] == pytest.approx(value / sum(exponentials.values()), rel=1e-5)


def test_task_weights_and_universal_weights_are_everything(small):
    student = build_student(small, Architecture.full(4, 3), CLASSES)
    rest = set(weights.variables(student.model)) - set(student.task_weights())
    kinds = {key.split("/")[-1] for key in rest}
    assert kinds == {"kernel", "gamma", "beta"}
    assert rest <= set(weights.variables(small.model))


class TestErrors:
    def test_another_number_of_blocks(self, small):
        message = r"The architecture is for 5 blocks and small has 4"
        with pytest.raises(ValueError, match=message):
            build_student(small, Architecture.full(5, 3), CLASSES)

    def test_source_that_nothing_produces(self, small):
        architecture = Architecture(4, (Path.proxy(4, source=2), Path.proxy(4, source=0)))
        with pytest.raises(ValueError, match=r"block4_proxy2 reads x_2, which no path produces"):
            build_student(small, architecture, CLASSES)

    def test_nothing_for_the_classifier_to_read(self, small):
        message = r"No path leads into layer 4"
        with pytest.raises(ValueError, match=message):
            build_student(small, Architecture(4, (Path.block(1),)), CLASSES)
