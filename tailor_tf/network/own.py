"""Weights of universal blocks that a task may have of its own: few weights that carry much.

Scales and offsets of batch norms and depthwise kernels are a few percent of a network's weights. A
network with only these trained comes close to one with all of them trained (Bilen and Vedaldi 2017;
Mudrakarta et al., "K for the Price of 1", ICLR 2019).
"""

import keras

from tailor_tf.network import keys
from tailor_tf.network.architecture import DEPTHWISE, STATISTICS


def is_own(layer: keras.layers.Layer, own: str) -> bool:
    """Whether the trainable weights of a layer of a universal block belong to the task.

    Args:
        layer: the layer.
        own: one of `architecture.OWN`.
    """
    if isinstance(layer, keras.layers.BatchNormalization):
        return own != STATISTICS
    return own == DEPTHWISE and isinstance(layer, keras.layers.DepthwiseConv2D)


def own_keys(model: keras.Model, own: str) -> frozenset[str]:
    """Keys of the weights that belong to the task, of a network or of a piece of it.

    Args:
        model: a network or piece with the layers of universal blocks, proxies, head or classifier.
        own: one of `architecture.OWN`.
    """
    return frozenset(
        weight.path
        for layer in model.layers
        for weight in layer.weights
        if keys.is_task(weight.path) or is_own(layer, own)
    )
