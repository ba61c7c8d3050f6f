"""Top of a Keras model: its pooling and its classifier, which are cut away."""

from typing import Any

import keras
from keras import layers as kl

from tailor_tf.backbones.ends import Wiring, single_tensors
from tailor_tf.support.errors import TailorError

_CONVOLUTIONS = (kl.Conv2D, kl.DepthwiseConv2D, kl.SeparableConv2D)
_ATTENTION = (kl.MultiHeadAttention, kl.GroupQueryAttention, kl.Attention, kl.AdditiveAttention)
_POOLS = (
    *(kl.GlobalAveragePooling2D, kl.GlobalMaxPooling2D, kl.AveragePooling2D, kl.MaxPooling2D),
    *(kl.Flatten, kl.Reshape),
)
_REDUCTIONS = {"Mean", "Max", "Amax", "Sum", "Reshape"}  # classes of `keras.ops`


def features(flat: keras.Model, name: str) -> Any:
    """The tensor `[batch, height, width, channels]` that the top of a flattened network reads.

    Args:
        flat: the flattened network: an image classifier, or a network without a top.
        name: its name in error messages.

    Raises:
        TailorError: it has no convolutions, or there is no such tensor.
    """
    if not any(isinstance(operation, _CONVOLUTIONS) for operation in flat.operations):
        raise _refusal(flat, f"{name} has no convolutions")
    wiring = Wiring(flat)
    for tensor in single_tensors(flat, wiring):
        readers = wiring.readers(tensor)
        if len(tensor.shape) == 4 and readers and all(map(_pools_all_pixels, readers)):
            return tensor
    if len(flat.output.shape) != 4:
        raise _refusal(flat, f"{name} has no features [height, width, channels] before its end")
    return flat.output


def _pools_all_pixels(operation: keras.Operation) -> bool:
    reduces = not isinstance(operation, keras.Layer) and type(operation).__name__ in _REDUCTIONS
    shape = operation.output.shape
    alone = len(shape) == 2 or tuple(shape[1:-1]) == (1, 1)
    return alone and (reduces or isinstance(operation, _POOLS))


def _refusal(flat: keras.Model, problem: str) -> TailorError:
    attention = next((layer.name for layer in flat.layers if isinstance(layer, _ATTENTION)), None)
    why = f" (it is a transformer, with the attention {attention})" if attention else ""
    return TailorError(
        f"{problem}{why}; expected a convolutional network that pools its features and classifies "
        "them, because blocks and proxies are made of convolutions."
    )
