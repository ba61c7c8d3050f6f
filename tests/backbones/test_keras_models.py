"""Keras models as universal networks: what is cut away, saved, read again, tailored and refused."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from tailor_tf import backbones, compact, load_universal, save_universal
from tailor_tf.backbones import applications, definition
from tailor_tf.backbones.universal import universal_from_tensors
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.folding import fold
from tailor_tf.method.student import build_teacher
from tailor_tf.method.task_pack import TailoredTask, load_task_pack, read_header, save_task_pack
from tailor_tf.network import weights
from tailor_tf.network.architecture import Architecture
from tests import builders, keras_builders
from tests.shared_data import shared_file

RESCALED = {"normalisation": "tf"}


def _images(side, rng):
    return rng.normal(size=(2, side, side, 3)).astype("float32")


def _body_of(model, images):
    """Features of the nested network, which reads normalised images."""
    return model.get_layer("body")(images, training=False).numpy()


@pytest.fixture(scope="module")
def model():
    return builders.randomise(keras_builders.classifier(), np.random.default_rng(0))


@pytest.fixture(scope="module")
def network(model):
    return load_universal(model)


def test_a_nested_classifier_is_cut_between_front_and_top(model, network, rng):
    graph = network.graph
    assert (graph.name, graph.num_blocks, graph.activation) == ("mine", 4, "relu")
    assert graph.config["name"] == "keras_model"
    assert [block.output_shape for block in graph.blocks] == [
        *((16, 16, 8), (8, 8, 12), (8, 8, 12), (4, 4, 16))
    ]
    images = _images(16, rng)
    nodes = network.model(images, training=False)["nodes"]
    np.testing.assert_allclose(nodes[-1], _body_of(model, images), rtol=1e-4, atol=1e-5)


def test_another_image_size_has_the_same_weights(model, network, rng):
    larger = load_universal(model, image_size=32)
    assert larger.fingerprint == network.fingerprint
    assert larger.graph.config == {**network.graph.config, "image_size": 32}


def test_sequential_models_and_tops_with_hidden_layers():
    graph = load_universal(keras_builders.sequential()).graph
    assert [block.output_shape for block in graph.blocks] == [
        *((16, 16, 8), (16, 16, 12), (8, 8, 12))
    ]
    assert graph.head.output_shape == (12,)


def _any_size(pooling):
    images = keras.Input((None, None, 3))
    x = keras_builders.units(kl.Conv2D(8, 3, padding="same")(images))
    return keras.Model(images, kl.Dense(5)(pooling(x)), name="any")


def _two_pools(x):
    return kl.Concatenate()([kl.GlobalAveragePooling2D()(x), kl.GlobalMaxPooling2D()(x)])


@pytest.mark.parametrize(
    "pooling",
    [
        kl.GlobalMaxPooling2D(),
        lambda x: keras.ops.mean(x, axis=(1, 2)),
        _two_pools,
        lambda x: kl.Flatten()(kl.Conv2D(4, 1)(kl.GlobalAveragePooling2D(keepdims=True)(x))),
    ],
    ids=["maximum", "mean", "two pools", "convolution behind"],
)
def test_pooling_of_any_kind_is_cut_away(pooling):
    model = _any_size(pooling)
    with pytest.raises(ValueError, match=r"model any takes images of any size; .*--image_size"):
        load_universal(model, **RESCALED)
    graph = load_universal(model, image_size=24, **RESCALED).graph
    assert graph.head.output_shape == (16,)


def test_stored_policies_do_not_count(model):
    """Layers follow the policy of the process, and weights are float32."""
    previous = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float16")
        half = keras_builders.classifier()
        keras.config.set_dtype_policy("mixed_bfloat16")
        mixed = load_universal(model)
        keras.config.set_dtype_policy("float32")
        full = load_universal(half)
    finally:
        keras.config.set_dtype_policy(previous)
    assert {v.dtype for v in (*mixed.model.weights, *full.model.weights)} == {"float32"}
    kernels = [layer for layer in mixed.model.layers if isinstance(layer, kl.Conv2D)]
    assert {layer.compute_dtype for layer in kernels} == {"bfloat16"}
    assert {layer.compute_dtype for layer in full.model.layers} == {"float32"}
    assert mixed.graph.definition == full.graph.definition
    np.testing.assert_array_equal(
        full.model.get_layer("stem_body_first").kernel, half.get_layer("body").layers[1].kernel
    )


def test_saving_and_loading_are_inverse(network, tmp_path):
    path = tmp_path / "universal.safetensors"
    save_universal(path, network.graph, network.model, "float32")
    again = load_universal(path)
    assert again.fingerprint == network.fingerprint
    for field in ("name", "config", "normalisation", "definition", "activation", "input_shape"):
        assert getattr(again.graph, field) == getattr(network.graph, field)
    assert load_universal(path, image_size=8).graph.input_shape == (8, 8, 3)
    with pytest.raises(ValueError, match="image_size 18; expected a positive multiple of 4"):
        load_universal(path, image_size=18)
    with pytest.raises(ValueError, match="has no setting width; it takes image_size, blocks"):
        load_universal(path, width=0.5)
    with pytest.raises(ValueError, match="has a normalisation of its own and received 'tf'"):
        load_universal(path, **RESCALED)


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("ConvNeXtTiny", "ResNet50V2")),
    ],
)
def test_networks_of_keras_applications_are_read_from_their_file(name, tmp_path, monkeypatch):
    graph, tensors = applications.load(name, image_size=32)
    network = universal_from_tensors(graph, tensors, origin=name)
    save_universal(tmp_path / "universal", graph, network.model, "float32")
    monkeypatch.setattr(applications, "load", None)  # the file has all that builds the network
    again = load_universal(tmp_path / "universal")
    assert again.fingerprint == network.fingerprint
    assert again.graph.config == graph.config


def test_a_definition_that_was_altered(network, tmp_path):
    path = tmp_path / "universal.safetensors"
    save_universal(path, network.graph, network.model, "float32")
    tensors, metadata = weights.read(path)
    altered = metadata["definition"].replace('"use_bias":false', '"use_bias":true')
    weights.write(path, tensors, {**metadata, "definition": altered})
    with pytest.raises(ValueError, match="was altered: its definition has the fingerprint"):
        load_universal(path)


def test_settings_alone_do_not_describe_it(network):
    with pytest.raises(ValueError, match=r"cut from a Keras model.* load it from its \.keras"):
        backbones.create(**network.graph.config)


def _tailored(network, rng):
    full = Architecture.full(network.graph.num_blocks, 2)
    student = builders.random_student(network, full, rng)
    preprocessing = Preprocessing(16, *network.graph.normalisation, flip=False, crop_padding=0)
    return TailoredTask(TaskInfo("own", tuple("abcde"), preprocessing), student)


def test_packs_and_bundles_hold_the_fingerprint_of_the_definition(network, tmp_path, rng):
    task, path = _tailored(network, rng), tmp_path / "pack"
    save_task_pack(path, task)
    assert read_header(path).backbone == network.graph.config
    assert b"Conv2D" not in path.read_bytes()
    universal = tmp_path / "universal"
    save_universal(universal, network.graph, network.model, "float32")
    images = _images(16, rng)
    expected = task.student.model(images, training=False)["logits"]
    again = load_task_pack(path, load_universal(universal)).student.model
    np.testing.assert_allclose(again(images, training=False)["logits"], expected, atol=1e-5)
    with pytest.raises(ValueError, match="belongs to the universal network"):
        load_task_pack(path, load_universal(universal, image_size=32))


def test_compaction_and_folding(network, rng):
    student = _tailored(network, rng).student
    images = _images(16, rng)
    expected = student.model(images, training=False)["logits"].numpy()
    plain = compact(student)
    np.testing.assert_allclose(plain(images, training=False), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fold(plain)(images, training=False), expected, rtol=1e-3, atol=1e-3)
    assert build_teacher(network, 3).count_params() > 0


def _custom(x):
    @keras.saving.register_keras_serializable("tests")
    class Doubled(kl.Layer):
        def call(self, x):
            return 2 * x

    return Doubled(name="own")(x)


def _of(build, channels=3):
    images = keras.Input((16, 16, channels))
    return keras.Model(images, build(images), name="mine")


def _transformer(x):
    x = kl.Reshape((16, 16))(kl.Conv2D(16, 4, 4)(x))
    return kl.GlobalAveragePooling1D()(kl.MultiHeadAttention(2, 8, name="attention")(x, x))


def _two_inputs():
    images = [keras.Input((16, 16, 3)), keras.Input((16, 16, 3))]
    return keras.Model(images, keras_builders.units(kl.Add()(images)), name="mine")


def _shared(x):
    twice = kl.Conv2D(3, 3, padding="same", name="twice")
    return kl.GlobalAveragePooling2D()(twice(twice(x)))


def _not_finite():
    model = keras_builders.classifier()
    kernel = model.get_layer("body").get_layer("unit2_a").kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    return model


class _Subclass(keras.Model):
    def call(self, images):
        return images


REFUSED = {
    "lambda": (
        lambda: _of(lambda x: keras_builders.units(kl.Lambda(lambda x: x, name="code")(x))),
        r"mine has the layer code \(Lambda\), which holds code",
    ),
    "custom": (
        lambda: _of(lambda x: keras_builders.units(_custom(x))),
        r"has the layer own \(Doubled\), which is no layer of Keras",
    ),
    "two inputs": (_two_inputs, "has 2 inputs and 1 outputs; expected one of each"),
    "two outputs": (lambda: _of(lambda x: [x, x]), "has 1 inputs and 2 outputs"),
    "one channel": (
        lambda: _of(keras_builders.units, channels=1),
        r"inputs of shape \(None, 16, 16, 1\); expected images \[batch, height, width, 3\]",
    ),
    "four channels": (lambda: _of(keras_builders.units, channels=4), r"\(None, 16, 16, 4\)"),
    "transformer": (
        lambda: _of(_transformer),
        r"\(it is a transformer, with the attention attention\); expected a convolutional network",
    ),
    "no convolutions": (
        lambda: _of(lambda x: kl.Dense(5)(kl.Flatten()(x))),
        "mine has no convolutions; expected a convolutional network",
    ),
    "too few blocks": (
        lambda: _of(kl.Conv2D(3, 3)),
        "mine has 0 places .* expected at least 3",
    ),
    "shared layer": (lambda: _of(_shared), "uses its layer twice more than once"),
    "not finite": (_not_finite, r"body/unit2_a \(Conv2D\), which has weights that are not finite"),
    "subclass": (_Subclass, "is a _Subclass without inputs and outputs that Keras knows"),
    "not built": (
        lambda: keras.Sequential([kl.Conv2D(3, 3)]),
        "is a Sequential without inputs and outputs",
    ),
    "inside": (
        lambda: _of(lambda x: keras_builders.units(kl.Solarization(name="sun")(x))),
        r"layer sun \(Solarization\), which changes images",
    ),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED)
def test_models_that_are_refused(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_universal(build(), normalisation=None if build is _not_finite else "none")
    assert "\n" not in str(caught.value)


def test_a_network_with_valid_padding_has_sizes_that_no_proxy_makes():
    def build(x):
        for width in (4, 4, 8, 8, 8):
            x = kl.Conv2D(width, 3, 2 if width == 8 else 1)(x)
        return x

    images = keras.Input((64, 64, 3))
    with pytest.raises(ValueError, match=r"nodes of 62x62, 60x60, 29x29, .*Choose another image"):
        load_universal(keras.Model(images, build(images)), **RESCALED)


def test_efficientnet_lite0_is_the_network_that_is_shipped(rng):
    path = shared_file("weights/efficientnet_lite0.keras")
    stated = ((127 / 255,) * 3, (128 / 255,) * 3)
    network = load_universal(path, image_size=64, normalisation=stated)
    assert network.graph.num_blocks == 16
    shipped = load_universal("imagenet", image_size=64)
    images = _images(64, rng)
    nodes = network.model(images, training=False)["nodes"]
    expected = shipped.model(images, training=False)["nodes"]
    for a, b in zip(nodes, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=0.02 * np.abs(b).max())  # shipped in half precision


class TestForgedDefinitions:
    """A stranger's definition runs no code and takes no memory before it is refused."""

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('"module":"keras.layers"', '"module":"os.path"', r"a part of the module 'os.path'"),
            ('"kernel_size":[3,3]', '"kernel_size":[3,99999999]', "the number 99999999, expected"),
            ('"class_name":"Conv2D"', '"class_name":"Lambda"', "Cannot build the network of"),
        ],
    )
    def test_they_are_refused(self, network, tmp_path, old, new, message):
        path = tmp_path / "universal.safetensors"
        save_universal(path, network.graph, network.model, "float32")
        tensors, metadata = weights.read(path)
        assert old in metadata["definition"]
        forged = metadata["definition"].replace(old, new)
        backbone = {**metadata["backbone"], "definition": definition.fingerprint(forged)}
        changed = {"backbone": backbone, "definition": forged, "normalisation": None}
        weights.write(path, tensors, changed)
        with pytest.raises(weights.WeightsError, match=message):
            load_universal(path)
