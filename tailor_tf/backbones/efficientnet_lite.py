"""EfficientNet-Lite0: inverted residuals without squeeze-and-excitation, ReLU6, linear nodes."""

import functools
from typing import NamedTuple

from keras import layers as kl

from tailor_tf.backbones.backbone import check_size
from tailor_tf.network import blocks
from tailor_tf.network.graph import BlockGraph, Normalisation, chain


class _Stage(NamedTuple):
    expansion: int
    filters: int
    depth: int  # number of blocks
    strides: int  # of the first block
    kernel_size: int


_STAGES = (  # of EfficientNet-B0 (Tan and Le 2019, table 1)
    _Stage(1, 16, 1, 1, 3),
    _Stage(6, 24, 2, 2, 3),
    _Stage(6, 40, 2, 2, 5),
    _Stage(6, 80, 3, 2, 3),
    _Stage(6, 112, 3, 1, 5),
    _Stage(6, 192, 4, 2, 5),
    _Stage(6, 320, 1, 1, 3),
)
_STEM_FILTERS, _HEAD_FILTERS = 32, 1280  # not scaled in the Lite networks
_NORMALISATION = Normalisation((127 / 255,) * 3, (128 / 255,) * 3)  # (level - 127) / 128


def efficientnet_lite0(*, image_size: int = 224) -> BlockGraph:
    """EfficientNet-Lite0: 16 inverted residuals, then a 1x1 convolution to 1280 channels.

    Args:
        image_size: side of the square input in pixels, a multiple of 32.

    Raises:
        TailorError: an image size that is not a positive multiple of 32.
    """
    check_size("efficientnet_lite0", image_size, 32)
    return chain(
        "efficientnet_lite0",
        {"name": "efficientnet_lite0", "image_size": image_size},
        (image_size, image_size, 3),
        _stem,
        _blocks(),
        _head,
        proxies="fitted",
        activation="linear",
        normalisation=_NORMALISATION,
    )


def _blocks():
    for stage in _STAGES:
        for index in range(stage.depth):
            yield functools.partial(
                blocks.inverted_residual,
                filters=stage.filters,
                strides=1 if index else stage.strides,
                kernel_size=stage.kernel_size,
                expansion=stage.expansion,
            )


def _stem(x, *, name, layers):
    x = layers.conv(f"{name}_conv", _STEM_FILTERS, 3, 2)(blocks.padded_same(x, 3, 2))
    return blocks.relu6(layers.batch_norm(f"{name}_bn", blocks.TF_BN_EPSILON)(x))


def _head(x, *, name, layers):
    x = layers.conv(f"{name}_conv", _HEAD_FILTERS, 1, 1)(x)
    x = blocks.relu6(layers.batch_norm(f"{name}_bn", blocks.TF_BN_EPSILON)(x))
    return kl.GlobalAveragePooling2D(name=f"{name}_average")(x)
