"""Networks in tf-keras, built of their description."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from export.optimize.description import Operation


class Fixed(tf_keras.layers.Layer):
    """A layer that moves values and computes nothing.

    Args:
        pad_width: zeros before and after each axis.
        slices: start, stop and step of each axis, where there is no padding.
    """

    def __init__(self, pad_width=None, slices=None, **kwargs):
        super().__init__(**kwargs)
        self.pad_width, self.slices = pad_width, slices

    def call(self, x):
        if self.pad_width:
            return tf.pad(x, self.pad_width)
        return x[tuple(slice(*each) for each in self.slices)]

    def get_config(self):
        return {**super().get_config(), "pad_width": self.pad_width, "slices": self.slices}


def build(network: Sequence[Operation], weights: Mapping[str, np.ndarray]) -> tf_keras.Model:
    """Builds a network in tf-keras.

    Args:
        network: the description, the input first and the output last.
        weights: the weights, by path.
    """
    tensors: dict[str, Any] = {}
    for operation in network:
        inputs = [tensors[source] for source in operation.inputs]
        tensors[operation.name] = _output(operation, inputs, weights)
    return tf_keras.Model(tensors[network[0].name], tensors[network[-1].name])


def _output(operation: Operation, inputs: Sequence[Any], weights: Mapping[str, np.ndarray]) -> Any:
    if operation.kind == "InputLayer":
        return tf_keras.Input(operation.config["batch_shape"][1:], name=operation.name)
    moves = operation.kind in ("Pad", "GetItem")
    kind = Fixed if moves else getattr(tf_keras.layers, operation.kind)
    layer = kind(**operation.config, name=operation.name)
    output = layer(inputs if operation.kind == "Add" else inputs[0])
    layer.set_weights([weights[path] for path in operation.weights])
    layer.trainable = operation.trainable
    return output
