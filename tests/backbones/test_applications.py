"""Networks of keras.applications: cut and original agree, and the cut ones can be tailored."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl
from keras import tree

from tailor_tf import Recipe, backbones, compact
from tailor_tf.backbones import cutting
from tailor_tf.backbones.loading import load_universal
from tailor_tf.backbones.universal import universal_from_tensors
from tailor_tf.bundle import sharing
from tailor_tf.method import distillation, student
from tailor_tf.method.folding import fold
from tailor_tf.network import costs, counting, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.training.loop import Trainer
from tests import builders

SIZE = 64
FAST = ("MobileNetV3Small",)
SLOW = (
    "ResNet50",
    "ResNet50V2",
    "ResNet101",
    "MobileNetV2",
    "MobileNetV3Large",
    "EfficientNetV2B0",
    "DenseNet121",
    "ConvNeXtTiny",
)
NETWORKS = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def _inputs(rng, size=SIZE):
    return rng.normal(size=(2, size, size, 3)).astype("float32")


def random_original(name, rng):
    """A network of keras.applications with random weights, without its classifier."""
    build = getattr(keras.applications, name)
    options = {"weights": None, "include_top": False, "input_shape": (SIZE, SIZE, 3)}
    if name.startswith(("MobileNetV3", "EfficientNetV2", "ConvNeXt")):
        options["include_preprocessing"] = False
    return builders.randomise(build(**options), rng)


@pytest.fixture(scope="module", params=NETWORKS)
def networks(request):
    """A randomised network of keras.applications, and what becomes of it when it is cut."""
    original = random_original(request.param, np.random.default_rng(0))
    config = {"name": request.param, "image_size": SIZE}
    graph, tensors = cutting.cut(original, config)
    return original, universal_from_tensors(graph, tensors, origin="the original")


def test_cut_and_original_agree(networks):
    original, universal = networks
    images = _inputs(np.random.default_rng(1))
    features = original(images, training=False).numpy().mean(axis=(1, 2))
    kernel, bias = universal.model.get_layer("classifier").get_weights()
    logits = universal.model(images, training=False)["logits"].numpy()
    expected = features @ kernel + bias
    summands = np.abs(features) @ np.abs(kernel)  # the logit may be far smaller, by cancellation
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * summands.max())
    assert counting.parameters(
        universal.model
    ) - kernel.size - bias.size == original.count_params() - (counting.statistics(original))


def test_a_described_network_is_the_same_again(networks):
    _, universal = networks
    again = backbones.create(**universal.graph.config)
    assert [p.output_shape for p in again.blocks] == [
        p.output_shape for p in universal.graph.blocks
    ]
    assert costs.universal_complexity(again) == costs.universal_complexity(universal.graph)


def test_one_step_of_tailoring_and_compaction(networks):
    _, universal = networks
    rng = np.random.default_rng(2)
    graph, full = universal.graph, Architecture.full(universal.graph.num_blocks, 2)
    teacher = student.build_teacher(universal, 5)
    teacher.trainable = False
    learner = student.build_student(universal, full, 5)
    before = weights.fingerprint(universal.model)
    shares = costs.path_shares(graph, full)
    folded, x = fold(teacher), _inputs(rng)
    taught, expected = (tree.flatten(model(x, training=False)) for model in (folded, teacher))
    for a, b in zip(taught, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(b).max())
    objective = distillation.StudentObjective(learner, folded, shares)
    trainer = Trainer(objective, Recipe(1, batch_size=2), steps_per_epoch=1)
    batches = tf.data.Dataset.from_tensors((_inputs(rng), np.array([0, 1], np.int32)))
    [figures] = trainer.fit(lambda epoch, skip, share: batches)
    assert np.isfinite(figures["loss"])
    assert weights.fingerprint(universal.model) == before
    assert len(learner.task_weights()) < len(weights.variables(learner.model))
    plain = compact(learner)
    images = _inputs(rng)
    expected = learner.model(images, training=False)["logits"].numpy()
    np.testing.assert_allclose(
        plain(images, training=False), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
    )
    around = fold(plain, shared=sharing.universal_layers(universal))
    kernels = sharing.universal_kernels(universal).values()
    assert {id(kernel) for kernel in kernels} <= {id(weight) for weight in around.weights}
    for network in (fold(plain), around):
        logits = network(images, training=False)
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def _chain(*widths):
    """Convolutions of the given widths with ReLUs."""
    x = images = keras.Input((16, 16, 3))
    for width in widths:
        x = kl.Conv2D(width, 3, padding="same", activation="relu")(x)
    return keras.Model(images, x)


def test_blocks_are_merged_until_they_cost_the_same():
    """Of ten equal layers behind the stem, five blocks are two layers each."""
    model = _chain(8, *[8] * 10)
    graph, _ = cutting.cut(model, {"name": "chain"}, blocks=5)
    layer = 16 * 16 * 8 * 8 * 9
    found = [costs.path_multiply_adds(graph, p) for p in Architecture.full(5, 1).paths[::2]]
    assert found == [2 * layer + 16 * 16 * 8] * 5  # and a gate
    with pytest.raises(ValueError, match="chain cannot be cut into 11 blocks; expected 3 to 10"):
        cutting.cut(model, {"name": "chain"}, blocks=11)


def test_networks_that_cannot_be_cut():
    with pytest.raises(ValueError, match=r"chain has 2 places .* expected at least 3"):
        cutting.cut(_chain(8, 8, 8), {"name": "chain"})
    images = keras.Input((16, 16, 3))
    same = kl.Conv2D(3, 3, padding="same", name="same")
    with pytest.raises(ValueError, match="uses its layer same more than once"):
        cutting.cut(keras.Model(images, same(same(images))), {"name": "twice"})
    flat = keras.Sequential([keras.Input((16, 16, 3)), kl.Flatten(), kl.Dense(3)])
    with pytest.raises(ValueError, match=r"shapes \[\(None, 16, 16, 3\), \(None, 3\)\]; expected"):
        cutting.cut(flat, {"name": "flat"})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_from_a_file_of_keras(tmp_path):
    """Written by Keras and read by name; ResNets see red first though their weights want blue."""
    original = random_original("ResNet50", np.random.default_rng(5))
    original.save_weights(tmp_path / "resnet.weights.h5")
    source = str(tmp_path / "resnet.weights.h5")
    universal = load_universal(source, backbone="ResNet50", image_size=SIZE, blocks=4)
    assert universal.graph.num_blocks == 4
    images = _inputs(np.random.default_rng(6))
    expected = original(images[..., ::-1], training=False).numpy()
    nodes = universal.model(images, training=False)["nodes"]
    np.testing.assert_allclose(nodes[-1], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(ValueError, match=r"holds weights without a model; .*--backbone"):
        load_universal(source)
    with pytest.raises(ValueError, match=r"Keras cannot build VGG16 .*resnet.weights.h5"):
        load_universal(source, backbone="VGG16", image_size=SIZE)


def test_a_backbone_of_keras_hub(tmp_path):
    hub = pytest.importorskip("keras_hub", reason="needs the package keras-hub")
    original = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[2, 2],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(SIZE, SIZE, 3),
    )
    builders.randomise(original, np.random.default_rng(7))
    original.save_to_preset(str(tmp_path))
    universal = load_universal(f"keras_hub:{tmp_path}", image_size=SIZE)
    assert universal.graph.num_blocks == 4
    images = _inputs(np.random.default_rng(8))
    expected = original(images, training=False).numpy()
    nodes = universal.model(images, training=False)["nodes"]
    np.testing.assert_allclose(nodes[-1], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert backbones.create(**universal.graph.config).num_blocks == 4


def test_keras_hub_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ValueError, match=r"keras_hub:resnet .*pip install keras-hub"):
        load_universal("keras_hub:resnet")
