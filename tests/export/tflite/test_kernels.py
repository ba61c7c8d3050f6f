"""Networks that are folded such that tasks can share their universal kernels."""

import numpy as np

from export.tflite import kernels as tflite_kernels
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.network.architecture import Architecture
from tests import builders


def test_kernels_that_others_are_added_to_elsewhere_stay_apart(small):
    """The blocks of this network are one convolution each, and proxies read what they read."""
    rng = np.random.default_rng(5)
    network = compact(builders.random_student(small, Architecture.full(4, 2), rng))
    apart = tflite_kernels.folded(network, "float32")
    x = builders.images(small.graph, rng)
    np.testing.assert_allclose(apart(x), network(x), rtol=1e-4, atol=1e-4)
    names = tflite_kernels.universal_convolutions(network)
    assert names == ["stem_conv", *(f"block{n}_conv" for n in (1, 2, 3, 4))]
    assert len(apart.layers) > len(fold(network).layers)
    for name in names:
        ratio = np.asarray(apart.get_layer(name).kernel / network.get_layer(name).kernel)
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0, 0, 0], ratio.shape), rtol=1e-4)


def test_bytes_of_a_task(students):
    """ "bees": blocks 1 and 3, a proxy in each layer and two in the third."""
    stem = 8 * 8  # four bytes of bias and four of scale for a channel
    first = 8 * (8 + 8) + (8 * 8 + 8 * 8)
    second = (8 * 16 + 8 * 16) * 2
    third = 8 * (16 + 16) + (16 * 16 + 8 * 16) + (8 * 16 + 8 * 16)
    classifier = 16 * 4 + 8 * 4
    assert tflite_kernels.task_bytes(students["bees"]) == stem + first + second + third + classifier


def test_int8_kernels_are_near_those_that_they_stand_for(universal, students):
    """Of each channel half a step; next to nothing is what is next to nothing."""
    x = builders.images(universal.graph, np.random.default_rng(7), batch=8)
    for network in students.values():
        expected, received = network(x).numpy(), tflite_kernels.folded(network, "int8")(x).numpy()
        assert 0 < np.abs(received - expected).max() < 0.05 * np.abs(expected).max()


def test_network_is_left_as_it_is(students):
    network = students["ants"]
    before = [np.array(w) for w in network.get_weights()]
    tflite_kernels.folded(network, "int8")
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
