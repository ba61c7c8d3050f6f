"""ResNets in torchvision's layout, CIFAR ResNets and the decathlon's wide ResNet."""

import functools
from collections.abc import Sequence

from keras import layers as kl

from tailor_tf.backbones import torch_names
from tailor_tf.backbones.backbone import Backbone, check_size
from tailor_tf.network import blocks
from tailor_tf.network.graph import BlockGraph, chain
from tailor_tf.support.errors import TailorError


def _residual_blocks(block, widths: Sequence[int], depths: Sequence[int], first_stride: int):
    """Build functions of all blocks; each stage after the first one halves the resolution.

    The first stage halves it only if `first_stride` is 2.
    """
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for index in range(depth):
            downsamples = index == 0 and (stage > 0 or first_stride == 2)
            yield functools.partial(block, filters=width, strides=2 if downsamples else 1)


def _stem(x, *, name, layers, filters, kernel_size=3, strides=1, pool=False):
    names = {"conv_name": f"{name}_conv", "bn_name": f"{name}_bn"}
    x = blocks.conv_bn(x, filters, kernel_size, strides, **names, layers=layers)
    return blocks.max_pool(x, 3, 2) if pool else x


def _average(x, *, name, layers):
    return kl.GlobalAveragePooling2D(name=f"{name}_average")(x)


def _norm_average(x, *, name, layers):
    return _average(layers.batch_norm(f"{name}_bn")(x), name=name, layers=layers)


def resnet(name: str, block, depths: Sequence[int], *, image_size: int = 224) -> BlockGraph:
    """ResNet in torchvision's layout: 7x7 stem, then four stages (He et al. 2016).

    Args:
        name: the backbone's name.
        block: `blocks.basic_block` or `blocks.bottleneck_block`.
        depths: number of blocks in each stage.
        image_size: side of the square input in pixels, a multiple of 32.

    Raises:
        TailorError: an image size that is not a positive multiple of 32.
    """
    check_size(name, image_size, 32)
    stem = functools.partial(_stem, filters=64, kernel_size=7, strides=2, pool=True)
    return chain(
        name,
        {"name": name, "image_size": image_size},
        (image_size, image_size, 3),
        stem,
        _residual_blocks(block, (64, 128, 256, 512), depths, 1),
        _average,
        proxies="bottleneck" if block is blocks.bottleneck_block else "plain",
    )


def cifar_resnet(name: str, depths: Sequence[int], *, image_size: int = 32) -> BlockGraph:
    """CIFAR ResNet: three stages of basic blocks with 16, 32, 64 channels (He et al. 2016, 4.2).

    Args:
        name: the backbone's name.
        depths: number of blocks in each stage.
        image_size: side of the square input in pixels, a multiple of 4.

    Raises:
        TailorError: an image size that is not a positive multiple of 4.
    """
    check_size(name, image_size, 4)
    return chain(
        name,
        {"name": name, "image_size": image_size},
        (image_size, image_size, 3),
        functools.partial(_stem, filters=16),
        _residual_blocks(blocks.cifar_block, (16, 32, 64), depths, 1),
        _average,
    )


def torchvision(name: str, block, depths: Sequence[int]) -> Backbone:
    """A ResNet whose weights can be read from torchvision's; `depths` are blocks per stage."""
    return Backbone(
        functools.partial(resnet, name, block, depths), torch_names.staged_name(depths, "fc")
    )


def cifar(name: str, depths: Sequence[int]) -> Backbone:
    """A CIFAR ResNet whose weights can be read from PyTorch's; `depths` are blocks per stage."""
    return Backbone(
        functools.partial(cifar_resnet, name, depths), torch_names.staged_name(depths, "linear")
    )


def wide_resnet26(*, image_size: int = 64, width: float = 1.0) -> BlockGraph:
    """The decathlon's wide ResNet: three stages of four blocks with 64, 128 and 256 channels.

    Args:
        image_size: side of the square input in pixels, a multiple of 8.
        width: factor of all numbers of channels.

    Raises:
        TailorError: an image size that is not a positive multiple of 8, or a width below 1/32.
    """
    check_size("wide_resnet26", image_size, 8)
    stem_filters, *widths = (int(width * filters) for filters in (32, 64, 128, 256))
    if stem_filters < 1:
        raise TailorError(f"wide_resnet26 got width {width}; expected at least {1 / 32}.")
    return chain(
        "wide_resnet26",
        {"name": "wide_resnet26", "image_size": image_size, "width": width},
        (image_size, image_size, 3),
        functools.partial(_stem, filters=stem_filters),
        _residual_blocks(blocks.wide_block, widths, (4, 4, 4), 2),
        _norm_average,
    )
