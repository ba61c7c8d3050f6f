"""Universal kernels, which the TFLite files of all tasks have in common.

A universal kernel is the same in every task; its batch norm and its gate give each of its output
channels another factor. An int8 kernel has a scale per output channel, which takes the factor. Its
int8 values are therefore the same in every task, as long as nothing is added to the kernel and its
values lie on the grid before they are multiplied. The signs of the factors are the same in every
task, too, where the scales of batch norms are frozen, as gates are positive. Where they are the
task's own, and in the head, a channel whose sign a task changes has other int8 values, and the task
has that kernel for itself.
"""

import math

import keras
import numpy as np

from tailor_tf.backbones.universal import Universal
from tailor_tf.method.folding import fold
from tailor_tf.network import keys

INTEGER = ("dynamic", "int8")  # precisions with int8 kernels
_STEPS = 127  # on either side of zero in TFLite's int8 kernels
_LEAST = 1e-4
"""Smallest maximum of an output channel's int8 kernel. Where it is much below that, the converter
gives up kernel values to make room for the bias, which is counted in steps of input and kernel; and
a channel of so small a kernel adds less than one int8 step to its bias, made as large as this, too.
"""


def universal_convolutions(network: keras.Model) -> list[str]:
    """Names of the universal convolutions of a compact network, or of a universal network."""
    return [
        layer.name
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
        and keys.is_shared_layer(layer.name)
    ]


def folded(network: keras.Model, precision: str) -> keras.Model:
    """Folds a compact network such that its TFLite file can share its universal kernels.

    Args:
        network: compact network of `compaction.compact`; not changed.
        precision: precision of the file, one of `single.PRECISIONS`. For the integer ones
            universal kernels are brought to their int8 values beforehand; conversion finds the
            same ones.

    Returns:
        The network as `folding.fold` makes it; each universal convolution is one of its own and
        has the name that it has in the universal network.
    """
    universal = universal_convolutions(network)
    if precision not in INTEGER:
        return fold(network, apart=universal)
    result = fold(_on_grid(network, universal), apart=universal)
    for name in universal:
        layer = result.get_layer(name)
        largest = _largest(layer)
        wanted = np.where(largest > 0, np.maximum(largest, _LEAST), 1)
        layer.kernel.assign(layer.kernel * (wanted / np.where(largest > 0, largest, 1)))
    return result


def _on_grid(network: keras.Model, names: list[str]) -> keras.Model:
    """The network with some kernels rounded to int8, a scale per output channel."""
    rounded = keras.models.clone_model(network)
    rounded.set_weights(network.get_weights())
    for name in names:
        layer = rounded.get_layer(name)
        largest = _largest(layer)
        scale = np.where(largest > 0, largest, 1) / _STEPS
        layer.kernel.assign(np.round(np.float64(layer.kernel) / scale) * scale)
    return rounded


def _largest(layer: keras.Layer) -> np.ndarray:
    """Largest absolute value of each output channel of a kernel, of the kernel's rank."""
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    axes = (0, 1) if depthwise else (0, 1, 2)
    return np.abs(np.float64(layer.kernel)).max(axes, keepdims=True)


def universal_kernels(universal: Universal) -> list[np.ndarray]:
    """The kernels that tasks share, in the layout of TFLite: `[out, height, width, in]`.

    Kernels of depthwise convolutions, which hold few values, are left out.
    """
    layers = map(universal.model.get_layer, universal_convolutions(universal.model))
    plain = [layer for layer in layers if not isinstance(layer, keras.layers.DepthwiseConv2D)]
    return [np.asarray(layer.kernel).transpose(3, 0, 1, 2) for layer in plain]


def task_bytes(network: keras.Model) -> int:
    """Bytes of a task's own parameters as an int8 file stores them.

    One byte for each value of its kernels, and for each output channel of any layer, universal
    convolutions included, four of bias and four of scale, into which batch norm and gate are
    folded.

    Args:
        network: compact network of `compaction.compact`.
    """
    universal, total = universal_convolutions(network), 0
    for layer in folded(network, "int8").layers:
        if layer.weights:
            kernel = 0 if layer.name in universal else math.prod(layer.kernel.shape)
            total += kernel + 8 * layer.output.shape[-1]
    return total
