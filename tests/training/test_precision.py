"""Half precision and XLA: what has to stay float32 does, and training goes as it did."""

import collections
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from tailor_tf import backbones
from tailor_tf.backbones import applications
from tailor_tf.backbones.universal import universal_from_tensors
from tailor_tf.method import distillation
from tailor_tf.method.folding import fold
from tailor_tf.method.student import build_student, build_teacher
from tailor_tf.network import costs, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.layers import BatchNorm
from tailor_tf.training.loop import Trainer
from tailor_tf.training.objective import Classification
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.recipe import Recipe
from tests import builders

HALF = ("mixed_bfloat16", "mixed_float16")
CLASSES = 5
RECIPE = Recipe(1, batch_size=8, learning_rate=0.05, schedule="cosine")


@pytest.fixture(autouse=True)
def restored_policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def _network():
    keras.utils.set_random_seed(0)
    return builders.universal(builders.small_graph(), np.random.default_rng(0))


def _objective(universal):
    """A student's objective, the same whatever the precision."""
    full = Architecture.full(universal.graph.num_blocks, 3)
    shares = costs.path_shares(universal.graph, full)
    keras.utils.set_random_seed(1)  # of the classifiers
    teacher = build_teacher(universal, CLASSES)
    teacher.trainable = False
    student = build_student(universal, full, CLASSES)
    return distillation.StudentObjective(student, fold(teacher), shares)


def _batch(side=8):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, side, side, 3)).astype("float32")
    return images, rng.integers(0, CLASSES, 8, np.int32)


def _losses(policy="float32", steps=5, **options):
    keras.config.set_dtype_policy(policy)
    options = TrainingOptions(**options)
    trainer = Trainer(_objective(_network()), RECIPE, steps, options=options)
    return [float(trainer.step(*_batch())["loss"]) for _ in range(steps)]


@pytest.mark.parametrize("policy", HALF)
def test_what_stays_float32(policy):
    keras.config.set_dtype_policy(policy)
    objective = _objective(_network())
    student = objective.student
    images, labels = _batch()
    loss, figures = objective(images, labels)
    outputs = student.model(images)
    assert {v.dtype for v in student.model.weights} == {"float32"}
    assert {gate.dtype for gate in student.gates().values()} == {tf.float32}
    assert {loss.dtype, outputs["logits"].dtype, *(v.dtype for v in figures.values())} == {
        tf.float32
    }
    half = tf.as_dtype(policy.removeprefix("mixed_"))
    assert {node.dtype for node in outputs["nodes"]} == {half}
    assert {node.dtype for node in objective.teacher(images)["nodes"]} == {half}


def _application(name):
    graph, tensors = applications.load(name, image_size=64)
    return universal_from_tensors(graph, tensors, origin=name)


UNIVERSAL = {
    "convolutions": _network,
    "depthwise": lambda: builders.depthwise_universal(np.random.default_rng(0)),
    "efficientnet_lite0": lambda: builders.universal(
        backbones.create("efficientnet_lite0", image_size=32), np.random.default_rng(0)
    ),
    "MobileNetV2": lambda: _application("MobileNetV2"),
    "EfficientNetV2B0": lambda: _application("EfficientNetV2B0"),
}


def _kernels_of_step(trainer, side):
    """Convolutions and products in the traced step, forward and for gradients, by kind and type.

    Those of the classifier, which stays float32, are left out.
    """
    definition = trainer.compiled_step().get_concrete_function(*_batch(side)).graph.as_graph_def()
    functions = [function.node_def for function in definition.library.function]
    return collections.Counter(
        (node.op, tf.as_dtype(node.attr["T"].type).name)
        for node in itertools.chain(definition.node, *functions)
        if ("Conv" in node.op or "MatMul" in node.op) and "classifier" not in node.name
    )


def _convolutions(*models):
    """Convolutions that models need forward, by kind."""
    kinds = {kl.Conv2D: "Conv2D", kl.DepthwiseConv2D: "DepthwiseConv2dNative"}
    layers = [getattr(layer, "source", layer) for model in models for layer in model.layers]
    return collections.Counter(kinds[type(layer)] for layer in layers if type(layer) in kinds)


def _assert_all_in_half_precision(found, models):
    assert {kind for _, kind in found} == {"bfloat16"}
    for kind, count in _convolutions(*models).items():
        assert found[kind, "bfloat16"] == count


@pytest.mark.parametrize("loaded", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "name",
    [
        *("convolutions", "depthwise"),
        *(pytest.param(n, marks=pytest.mark.slow) for n in list(UNIVERSAL)[2:]),
    ],
)
class TestKernelsOfAStep:
    """Whatever the policy was when the universal network was made or its file written."""

    @pytest.fixture
    def universal(self, name, loaded):
        keras.config.set_dtype_policy(loaded)
        universal = UNIVERSAL[name]()
        keras.config.set_dtype_policy("mixed_bfloat16")
        return universal

    def test_of_a_student(self, universal):
        objective = _objective(universal)
        found = _kernels_of_step(Trainer(objective, RECIPE, 1), universal.graph.input_shape[0])
        _assert_all_in_half_precision(found, [objective.teacher, objective.student.model])

    def test_of_a_teacher(self, universal):
        objective = Classification(build_teacher(universal, CLASSES))
        found = _kernels_of_step(Trainer(objective, RECIPE, 1), universal.graph.input_shape[0])
        _assert_all_in_half_precision(found, [objective.model])


@pytest.fixture(scope="module")
def expected():
    return _losses()


@pytest.mark.parametrize("policy", HALF)
def test_losses_follow_those_of_float32(expected, policy):
    assert expected[-1] < 0.8 * expected[0]
    received = list(dict.fromkeys(_losses(policy)))  # a step that overflows leaves all as it was
    assert len(received) >= len(expected) - 2
    np.testing.assert_allclose(received, expected[: len(received)], rtol=0.05)


@pytest.mark.parametrize("policy", HALF)
@pytest.mark.parametrize("synchronized", [False, True])
def test_statistics_whose_squares_half_precision_cannot_hold(rng, policy, synchronized):
    layer = BatchNorm(dtype=policy, momentum=0.0, synchronized=synchronized)
    x = (300 + 40 * rng.normal(size=(16, 4, 4, 3))).astype("float16").astype("float32")
    if policy == "mixed_bfloat16":
        x = np.array(tf.cast(tf.cast(x, tf.bfloat16), tf.float32))
    y = np.array(tf.cast(layer(x, training=True), tf.float32))
    count = x.size / 3
    np.testing.assert_allclose(layer.moving_mean, x.mean((0, 1, 2)), rtol=1e-4)
    unbiased = x.var((0, 1, 2)) * count / (count - 1)
    np.testing.assert_allclose(layer.moving_variance, unbiased, rtol=1e-3)
    expected = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
    np.testing.assert_allclose(y, expected, atol=0.03)


class _Scaled(Classification):
    """A classification whose loss is multiplied by a factor."""

    def __init__(self, model, factor):
        super().__init__(model)
        object.__setattr__(self, "factor", factor)

    def __call__(self, images, labels, variant=0):
        loss, figures = super().__call__(images, labels)
        return self.factor * loss, figures


def _after_one_step(policy, factor, recipe):
    """By how much one step on a loss times `factor` changes the weights, and what they were."""
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(2)
    model = build_teacher(_network(), CLASSES)
    before = weights.arrays(model)

    trainer = Trainer(_Scaled(model, factor), recipe, 1)
    trainer.step(*_batch())
    trained = {v.path: np.array(v) - before[v.path] for v in model.trainable_variables}
    return trained, before


def test_small_gradients_do_not_vanish_in_float16():
    recipe = Recipe(1, learning_rate=1e7, weight_decay=0.0)
    expected, _ = _after_one_step("float32", 1e-7, recipe)
    received, _ = _after_one_step("mixed_float16", 1e-7, recipe)
    for path, change in expected.items():
        error = np.linalg.norm(received[path] - change)
        assert error < 0.1 * np.linalg.norm(change) + 1e-3, path


def test_weight_decay_is_not_scaled_with_the_loss():
    recipe = Recipe(1, learning_rate=0.1, weight_decay=0.01)
    changes, before = _after_one_step("mixed_float16", 0.0, recipe)
    for path, change in changes.items():
        np.testing.assert_allclose(change, -0.1 * 0.01 * before[path], rtol=1e-3, atol=1e-7)


def test_a_step_that_overflows_is_left_out_and_the_scale_halved():
    keras.config.set_dtype_policy("mixed_float16")
    model = build_teacher(_network(), CLASSES)
    before = weights.arrays(model)
    trainer = Trainer(_Scaled(model, 1e38), Recipe(1), 1)
    scale = float(trainer.optimizer.dynamic_scale)
    trainer.step(*_batch())
    assert float(trainer.optimizer.dynamic_scale) == scale / 2
    for variable in model.trainable_variables:
        np.testing.assert_array_equal(variable, before[variable.path])


@pytest.mark.slow
def test_xla_computes_the_same():
    np.testing.assert_allclose(_losses(jit_compile=True), _losses(), rtol=1e-4)
