"""Counts of multiply-adds and parameters of a model.

These are the conventions of the whole project. The papers of this field say "FLOPs" for
multiply-adds; the project counts multiply-adds, for one image. A convolution costs
`H_out * W_out * C_in * C_out * k * k`, a dense layer `C_in * C_out`, a normalisation 2 and a gate 1
per output element. Pooling, activations, padding and the addition or multiplication of two tensors
are free. Parameters are kernels, biases, scales, offsets and gate logits. Moving statistics are not
parameters of a network, but they are stored per task and count as task parameters.
"""

import math

import keras

from tailor_tf.network import keys
from tailor_tf.network.layers import GatedSum, Shared


def layer_multiply_adds(layer: keras.layers.Layer) -> int:
    """Multiply-adds of one call of a layer of a functional model, for one image."""
    elements = math.prod(layer.output.shape[1:])
    kind = layer.source if isinstance(layer, Shared) else layer
    match kind:
        case keras.layers.SeparableConv2D():
            depthwise, pointwise = kind.depthwise_kernel, kind.pointwise_kernel
            positions = elements // pointwise.shape[-1]
            return positions * (math.prod(depthwise.shape) + math.prod(pointwise.shape))
        case keras.layers.DepthwiseConv2D():
            return elements * math.prod(kind.kernel.shape[:2])
        case keras.layers.Conv2D() | keras.layers.Dense():
            return elements * math.prod(kind.kernel.shape[:-1])
        case keras.layers.BatchNormalization() | keras.layers.LayerNormalization():
            return 2 * elements
        case keras.layers.Rescaling():
            return elements
        case GatedSum():
            return elements * layer.num_paths
        case _:
            return 0


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of a functional model for one image, counted layer by layer.

    The layers must belong to this model only; otherwise their output shapes are ambiguous.
    """
    return sum(layer_multiply_adds(layer) for layer in model.layers)


def parameters(model: keras.Model) -> int:
    """Parameters of a model, trainable and frozen ones, moving statistics not included."""
    return sum(
        math.prod(weight.shape) for weight in model.weights if not keys.is_statistic(weight.path)
    )


def statistics(model: keras.Model) -> int:
    """Number of moving means and variances of a model, one per channel."""
    return sum(
        math.prod(weight.shape) for weight in model.weights if keys.is_statistic(weight.path)
    )
