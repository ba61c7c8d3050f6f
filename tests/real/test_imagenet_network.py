"""The shipped network for photographs, against its origin and what its model card says."""

import re

import keras
import numpy as np
import pytest

from tailor_tf import backbones
from tailor_tf.backbones.files import SHIPPED
from tailor_tf.backbones.loading import load_universal
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.data.folder import load_folder
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.square import Square
from tailor_tf.network import costs, counting, keys, weights
from tailor_tf.network.graph import build_network
from tests.shared_data import image_set, shared_file

PATH = SHIPPED["imagenet"]
CARD = PATH.with_suffix(".md").read_text()
LAYERS = {  # name in the published network, by the start of the name in this project
    "stem_conv": "conv_stem",
    "stem_bn": "stem_bn0",
    "head_conv": "conv_head",
    "head_bn": "head_bn1",
    "classifier": "fc",
}
NORMS = {"expand_bn": "bn0", "depthwise_bn": "bn1", "project_bn": "bn2"}


def published_key(key):
    """Key of a weight in the published network."""
    block, layer, variable = keys.split(key)
    name = f"blocks_{block - 1}_{NORMS.get(layer, layer)}" if block else LAYERS[layer]
    return f"{name}/{variable}"


@pytest.fixture(scope="module")
def published():
    """The network as it was published, with its classifier."""
    return keras.models.load_model(
        shared_file("weights/efficientnet_lite0.keras"), compile=False, safe_mode=True
    )


@pytest.fixture(scope="module")
def published_weights(published):
    return weights.arrays(published)


def at_size(published, image_size):
    """The published network for images of another size."""
    images = keras.Input((image_size, image_size, 3))
    return keras.models.clone_model(
        published, input_tensors=images, clone_function=lambda layer: layer
    )


def test_is_one_small_file_without_classifier():
    assert PATH.stat().st_size <= 7_000_000
    tensors, metadata = weights.read(PATH)
    assert not [key for key in tensors if keys.is_classifier(key)]
    assert metadata["backbone"] == {"name": "efficientnet_lite0", "image_size": 128}


def test_the_card_counts_what_is_shipped():
    shipped = load_universal("imagenet")
    assert shipped.fingerprint in CARD
    classifier = 1280 + 1  # of one class, which the file does not hold
    parameters = counting.parameters(shipped.model) - classifier
    assert re.search(r"^\| parameters \| ([\d,]+)", CARD, re.M)[1] == f"{parameters:,}"


@pytest.mark.parametrize("image_size", [96, 128, 160, 192, 224])
def test_the_card_counts_multiply_adds(image_size):
    graph = backbones.create("efficientnet_lite0", image_size=image_size)
    without_classifier = costs.network_cost(graph, 1).multiply_adds - 1280
    assert f"| {image_size} | {without_classifier / 1e6:.1f} |" in CARD


def test_shipped_weights_are_the_published_ones_in_half_precision(published_weights):
    for key, tensor in weights.read(PATH)[0].items():
        rounded = published_weights[published_key(key)].astype("float16").astype("float32")
        np.testing.assert_array_equal(tensor, rounded, err_msg=key)


def test_the_same_logits_as_the_published_network(published, published_weights, rng):
    network = build_network(backbones.create("efficientnet_lite0"), 1000)
    tensors = {key: published_weights[published_key(key)] for key in weights.variables(network)}
    weights.assign(network, tensors, origin="the published network")
    images = rng.uniform(-1, 1, (2, 224, 224, 3)).astype("float32")
    logits = network(images, training=False)["logits"]
    np.testing.assert_allclose(logits, published(images, training=False), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_top_class_of_photographs(published, published_weights):
    """What half precision changes, on photographs, with the published classifier."""
    tensors = dict(weights.read(PATH)[0])
    graph = backbones.create("efficientnet_lite0", image_size=128)
    network = build_network(graph, 1000)
    tensors |= {
        key: published_weights[published_key(key)]
        for key in weights.variables(network)
        if keys.is_classifier(key)
    }
    weights.assign(network, tensors, origin="the shipped network")
    original = at_size(published, 128)
    preprocessing = Preprocessing(128, *graph.normalisation, flip=False, crop_padding=0)
    same, seen = 0, 0
    for task in ("clothing10_photos", "trash6_photos"):
        _, splits = load_folder(str(image_set(task, "test") / "test"), Square(128))
        for images, _ in evaluation_batches(splits["train"], preprocessing, batch_size=250):
            ours = network(images, training=False)["logits"].numpy().argmax(-1)
            theirs = original(images, training=False).numpy().argmax(-1)
            same, seen = same + (ours == theirs).sum(), seen + len(ours)
    stated = re.search(r"same top class for\s+([\d.,]+) of\s+([\d,]+) photographs", CARD)
    assert seen == int(stated[2].replace(",", ""))
    assert same == pytest.approx(int(stated[1].replace(",", "")), abs=1)  # rounding may break ties
