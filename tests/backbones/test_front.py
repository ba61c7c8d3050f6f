"""The normalisation of a Keras model, from the layers at its front or as a person states it."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from tailor_tf import load_universal
from tailor_tf.backbones import front
from tests import builders, keras_builders

RED_MEAN, RED_STD = (0.2, 0.4, 0.6), (0.1, 0.2, 0.4)
_VARIANCES = [s**2 for s in RED_STD]
APPLICATIONS = keras.applications


def _normalised(levels, normalisation):
    return ((levels / 255 - np.array(normalisation.mean)) / np.array(normalisation.std)).astype(
        "float32"
    )


def _adapted():
    layer = kl.Normalization()
    layer.adapt(np.random.default_rng(0).uniform(0, 255, (8, 16, 16, 3)))
    return layer


FRONTS = {
    "rescaling": [kl.Rescaling(1 / 127.5, -1.0)],
    "two layers": [kl.Rescaling(1 / 255), kl.Normalization(mean=RED_MEAN, variance=_VARIANCES)],
    "adapted": [_adapted()],
    "augmentation between": [kl.Rescaling(1 / 255), kl.RandomFlip(), kl.Rescaling(2.0, -1.0)],
    "resized": [kl.Resizing(16, 16), kl.Rescaling(1 / 255)],
    "tf": [APPLICATIONS.mobilenet_v2.preprocess_input],
    "torch": [APPLICATIONS.densenet.preprocess_input],
    "caffe": [APPLICATIONS.resnet50.preprocess_input],
    "blue first": [lambda x: x[..., ::-1], kl.Rescaling(1 / 255)],
}


@pytest.mark.parametrize("layers", FRONTS.values(), ids=FRONTS)
def test_layers_at_the_front_become_the_normalisation(layers):
    """Nodes of images of levels in the model, and of normalised images in the network, agree."""
    model = builders.randomise(keras_builders.backbone(front=layers), np.random.default_rng(1))
    network = load_universal(model)
    levels = np.random.default_rng(2).integers(0, 256, (2, 16, 16, 3)).astype("float32")
    images = _normalised(levels, network.graph.normalisation)
    nodes = network.model(images, training=False)["nodes"]
    expected = model(levels, training=False).numpy()
    np.testing.assert_allclose(nodes[-1], expected, atol=1e-4 * np.abs(expected).max())


def test_numbers_of_layers_at_the_front():
    network = load_universal(keras_builders.backbone(front=FRONTS["two layers"]))
    np.testing.assert_allclose(network.graph.normalisation, (RED_MEAN, RED_STD), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "module"), [("tf", "mobilenet_v2"), ("torch", "densenet"), ("caffe", "resnet50")]
)
def test_named_normalisations_are_those_of_keras(name, module):
    levels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype("float32")
    known = front.NAMED[name]
    expected = getattr(APPLICATIONS, module).preprocess_input(levels.copy())
    received = _normalised(levels, known.normalisation)
    received = received[..., ::-1] if known.blue_first else received
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


def test_a_network_that_reads_blue_first_reads_red_first():
    model = keras_builders.backbone()
    network = load_universal(model, normalisation="caffe")
    images = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype("float32")
    nodes = network.model(images, training=False)["nodes"]
    expected = model(images[..., ::-1], training=False)
    np.testing.assert_allclose(nodes[-1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("stated", "mean"),
    [("none", 0.0), ("tf", 0.5), (((0.1, 0.1, 0.1), (1, 1, 1)), 0.1)],
)
def test_a_normalisation_that_is_stated(stated, mean):
    network = load_universal(keras_builders.backbone(), normalisation=stated)
    assert network.graph.normalisation.mean == (mean,) * 3


def test_layers_behind_images_that_were_scaled_before():
    model = keras_builders.backbone(front=[kl.Rescaling(2.0, -1.0)])
    with pytest.raises(ValueError, match=r"up to 509 .*such as --mean=0.5,0.5,0.5 --std=0.5,0.5"):
        load_universal(model)
    assert load_universal(model, normalisation="tf").graph.normalisation.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("layers", "stated", "message"),
    [
        ([], None, r"does not say how its images are normalised.*imagenet\|torch\|tf\|caffe\|none"),
        ([kl.Rescaling(1 / 255)], "torch", r"--mean=0,0,0 --std=1,1,1, which contradicts --mean=0"),
        ([kl.Rescaling(-1.0)], None, "no mean and positive deviation per colour"),
        (
            [
                kl.Normalization(
                    axis=(1, 2, 3),
                    mean=np.zeros((16, 16, 3)),
                    variance=np.linspace(1, 2, 768).reshape(16, 16, 3),
                )
            ],
            None,
            "the same for all pixels",
        ),
        ([], "imagnet", "The normalisation is 'imagnet'; expected one of imagenet, torch, tf"),
        ([], ((0, 0, 0), (1, 1)), "positive standard deviation of red, green and blue"),
        ([], ((0, 0, 0), (1, 1, 0)), "positive standard deviation of red, green and blue"),
    ],
)
def test_normalisations_that_are_refused(layers, stated, message):
    with pytest.raises(ValueError, match=message):
        load_universal(keras_builders.backbone(front=layers), normalisation=stated)


def test_other_sources_know_their_normalisation():
    with pytest.raises(ValueError, match="tiny_imagenet has a normalisation of its own"):
        load_universal("tiny_imagenet", normalisation="tf")
