"""Layers of int8 files that stay float."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers as kl

from export.tflite import selective, single
from tests.export.operators import kernels


def test_noise_is_a_mean_over_channels():
    """One channel of two whose values are lost in the steps of the scale that both share."""
    values = np.zeros((1, 1, 4, 2), np.float32)
    values[..., 0], values[..., 1] = [-8, -8, 8, 8], [-0.2, -0.2, 0.2, 0.2]
    levels = np.int8([[[[-7, 1], [-7, 1], [9, 1], [9, 1]]]])  # steps of 1, the level 1 is zero
    assert selective.noise(values, levels, 1.0, 1) == pytest.approx((0 + 0.04 / (0.04 + 0.04)) / 2)


def test_noise_of_logits_and_of_dead_channels():
    assert selective.noise(np.float32([[1.0, -1.0]]), np.int8([[3, -1]]), 0.5, 0) == pytest.approx(
        (0.5**2 + 0.5**2) / 2 / ((0.5**2 + 0.5**2) / 2 + 1)
    )
    assert selective.noise(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 3), np.int8), 1.0, 0) == 0.0


@pytest.fixture(scope="module")
def network():
    """A network with one loud channel, which the next layer makes quiet again."""
    images = keras.Input((12, 12, 3))
    x = kl.Conv2D(8, 3, padding="same", activation="relu", name="before")(images)
    x = kl.Conv2D(8, 1, name="loud")(x)
    x = kl.Conv2D(8, 3, padding="same", activation="relu", name="reader")(x)
    x = kl.DepthwiseConv2D(3, activation="relu", name="after")(x)
    network = keras.Model(images, kl.Dense(4, name="last")(kl.GlobalAveragePooling2D()(x)))
    gain = np.ones(8, np.float32)
    gain[3] = 1000
    loud, reader = network.get_layer("loud"), network.get_layer("reader")
    loud.kernel.assign(loud.kernel * gain)
    reader.kernel.assign(reader.kernel / gain[:, None])
    return network


def _error(content, network, images):
    """Root mean square of what logits are off, as a share of their standard deviation."""
    runner = Interpreter(model_content=content).get_signature_runner()
    received = np.concatenate([runner(images=image)["logits"] for image in images])
    expected = np.asarray(network(images[:, 0]))
    return np.sqrt(np.mean((received - expected) ** 2)) / expected.std()


def test_the_layers_that_int8_harms_stay_float(network):
    images = np.random.default_rng(3).normal(size=(50, 1, 12, 12, 3)).astype("float32")
    whole = single.convert(network, "int8", representative=images)
    (first, one), (second, two), (third, three) = selective.candidates(network, images)
    assert len(first) == 1
    assert set(second) == {"loud", "reader"}
    assert third[:2] == second
    assert _error(two, network, images) < 0.1 * _error(whole, network, images)
    for count, content in enumerate((whole, one, two, three)):
        types = [kernel.type for kernel, _ in kernels(content)]
        assert types.count(schema.TensorType.FLOAT32) == count
        assert types.count(schema.TensorType.INT8) == 4 - count
