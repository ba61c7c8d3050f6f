"""What is measured of a trained network, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tailor_tf.training import evaluation
from tests import builders


def test_variances_of_nodes_are_those_of_all_images_together(small, rng):
    images = builders.images(small.graph, rng, 6)
    batches = tf.data.Dataset.from_tensor_slices((images, np.zeros(6, np.int32))).batch(4)
    found = evaluation.node_variances(small.model, batches)
    nodes = small.model(images, training=False)["nodes"]
    expected = [np.var(node.numpy(), axis=(0, 1, 2)).mean() for node in nodes]
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_constant_node_has_a_variance_that_can_divide():
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, {"nodes": [keras.layers.ReLU()(x)]})
    batches = tf.data.Dataset.from_tensors((-np.ones((2, 4, 4, 3)), np.zeros(2, np.int32)))
    assert evaluation.node_variances(model, batches) == [evaluation.SMALLEST_VARIANCE]
