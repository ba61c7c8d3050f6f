"""Stems, universal blocks and proxies as functions from tensor to tensor.

Every function takes the input `[batch, height, width, channels]`, a `name` that starts the names of
its layers, and a factory of layers (`network.factories`). Convolutions and max-pools pad the same
number of pixels on every side, as PyTorch does; Keras's "same" padding differs at stride 2. Only
inverted residuals, as their published weights expect it, and pools of tensors that can be negative
pad as Keras's "same".
"""

from keras import layers as kl
from keras import ops

BOTTLENECK_EXPANSION = 4  # output channels of a bottleneck block per inner channel
NARROWEST_PROXY = 16  # channels in the middle of a bottleneck proxy
TF_BN_EPSILON = 1e-3  # of batch norms in networks that were published for TensorFlow


def conv_bn(x, filters, kernel_size, strides, *, conv_name, bn_name, layers, relu=True):
    """Convolution padded by `kernel_size // 2`, batch norm and, by default, ReLU."""
    if kernel_size > 1:
        x = kl.ZeroPadding2D(kernel_size // 2)(x)
    x = layers.conv(conv_name, filters, kernel_size, strides)(x)
    x = layers.batch_norm(bn_name)(x)
    return kl.ReLU()(x) if relu else x


def max_pool(x, kernel_size, strides, *, rectified=True):
    """Max-pool with an output of `ceil(side / strides)` pixels, for an even `strides`.

    If `x` is `rectified`, that is, >= 0, it is padded with `kernel_size // 2` zeros on every side.
    For other tensors, no finite value is neutral, and with -inf no range of int8 is left. Their
    pool leaves out the pixels outside of the image, at the positions of TensorFlow's "same".
    """
    if not rectified:
        return kl.MaxPooling2D(kernel_size, strides, padding="same")(x)
    return kl.MaxPooling2D(kernel_size, strides)(kl.ZeroPadding2D(kernel_size // 2)(x))


def same_padding(side, kernel_size, strides):
    """Zeros before and after an axis of `side` pixels with TensorFlow's "same" padding."""
    zeros = max((-(-side // strides) - 1) * strides + kernel_size - side, 0)
    return zeros // 2, zeros - zeros // 2


def padded_same(x, kernel_size, strides):
    """`x` with the zeros around it that TensorFlow's "same" padding adds for a convolution."""
    zeros = [same_padding(side, kernel_size, strides) for side in x.shape[1:3]]
    return kl.ZeroPadding2D(zeros)(x) if any(map(any, zeros)) else x


def basic_residual(x, filters, strides, *, name, layers):
    """Residual branch of a basic block: conv-bn-relu-conv-bn, 3x3 each (He et al. 2016)."""
    for index, step in ((1, strides), (2, 1)):
        names = {"conv_name": f"{name}_conv{index}", "bn_name": f"{name}_bn{index}"}
        x = conv_bn(x, filters, 3, step, **names, layers=layers, relu=index == 1)
    return x


def projection_shortcut(x, filters, strides, *, name, layers):
    """Option-B shortcut: the input if shapes agree, else a strided 1x1 convolution with bn."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    names = {"conv_name": f"{name}_shortcut_conv", "bn_name": f"{name}_shortcut_bn"}
    return conv_bn(x, filters, 1, strides, **names, layers=layers, relu=False)


def basic_block(x, filters, strides, *, name, layers):
    """Basic residual block of ResNet-18 and 34, without its last ReLU."""
    shortcut = projection_shortcut(x, filters, strides, name=name, layers=layers)
    return kl.Add()([basic_residual(x, filters, strides, name=name, layers=layers), shortcut])


def bottleneck_block(x, filters, strides, *, name, layers):
    """Bottleneck block of ResNet-50 without its last ReLU, stride on the 3x3 convolution.

    `filters` is the number of inner channels; the output has four times as many.
    """
    outer = BOTTLENECK_EXPANSION * filters
    shortcut = projection_shortcut(x, outer, strides, name=name, layers=layers)
    for index, (width, kernel, step) in enumerate(
        ((filters, 1, 1), (filters, 3, strides), (outer, 1, 1)), start=1
    ):
        names = {"conv_name": f"{name}_conv{index}", "bn_name": f"{name}_bn{index}"}
        x = conv_bn(x, width, kernel, step, **names, layers=layers, relu=index < 3)
    return kl.Add()([x, shortcut])


def cifar_block(x, filters, strides, *, name, layers):
    """Basic block with an option-A shortcut, without its last ReLU (He et al. 2016, section 4.2).

    If the stride is 2, the shortcut takes every second row and column. New channels are zero, half
    of them before and half after the old ones.
    """
    shortcut = x[:, ::strides, ::strides, :] if strides > 1 else x
    new_channels = filters - x.shape[-1]
    if new_channels:
        before = new_channels // 2
        shortcut = ops.pad(shortcut, ((0, 0), (0, 0), (0, 0), (before, new_channels - before)))
    return kl.Add()([basic_residual(x, filters, strides, name=name, layers=layers), shortcut])


def wide_block(x, filters, strides, *, name, layers):
    """Block of the decathlon's wide ResNet, with its last ReLU (Rebuffi et al. 2018).

    If the stride is 2, the shortcut is a 2x2 average pool. New channels are zero, after the old
    ones.
    """
    shortcut = kl.AveragePooling2D(2)(x) if strides > 1 else x
    new_channels = filters - x.shape[-1]
    if new_channels:
        shortcut = ops.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, new_channels)))
    residual = basic_residual(x, filters, strides, name=name, layers=layers)
    return kl.ReLU()(kl.Add()([residual, shortcut]))


def inverted_residual(x, filters, strides, kernel_size, expansion, *, name, layers):
    """Inverted residual block with a linear output (Sandler et al. 2018, MobileNetV2).

    A 1x1 convolution to `expansion` times as many channels (not if `expansion` is 1), a depthwise
    convolution, both with ReLU6, and a 1x1 convolution to `filters` channels. The input is added if
    shapes agree.
    """
    y = x
    if expansion > 1:
        y = layers.conv(f"{name}_expand_conv", expansion * x.shape[-1], 1, 1)(y)
        y = relu6(layers.batch_norm(f"{name}_expand_bn", TF_BN_EPSILON)(y))
    y = padded_same(y, kernel_size, strides)
    y = layers.depthwise_conv(f"{name}_depthwise_conv", kernel_size, strides)(y)
    y = relu6(layers.batch_norm(f"{name}_depthwise_bn", TF_BN_EPSILON)(y))
    y = layers.conv(f"{name}_project_conv", filters, 1, 1)(y)
    y = layers.batch_norm(f"{name}_project_bn", TF_BN_EPSILON)(y)
    return kl.Add()([x, y]) if x.shape == y.shape else y


def relu6(x):
    """`min(max(x, 0), 6)`."""
    return kl.ReLU(max_value=6)(x)


def bottleneck_width(channels):
    """Channels in the middle of a bottleneck proxy of the paper, for ResNet-50 and deeper."""
    return max(channels // 32, NARROWEST_PROXY)


def proxy(x, target_shape, *, width=None, name, layers, rectified=True):
    """Task-specific path from one node to a later layer: max-pool, 1x1 convolution, batch norm.

    The pool exists only if the resolution falls by a factor `s > 1`; it has kernel `s + 1`, stride
    `s` and the padding of `max_pool`. A bottleneck proxy has two 1x1 convolutions, each with batch
    norm, a ReLU between them, and few channels in the middle.

    Args:
        x: the node that the proxy reads, `[batch, height, width, channels]`.
        target_shape: height, width and channels of the layer that the proxy leads into.
        width: number of channels in the middle of a bottleneck proxy; `None` for a plain proxy,
            which has one convolution.
        name: start of the names of the proxy's layers.
        layers: factory of layers.
        rectified: whether `x` is never negative.

    Returns:
        Tensor `[batch, *target_shape]`.
    """
    strides = -(-x.shape[1] // target_shape[0])
    channels = target_shape[-1]
    if strides > 1:
        x = max_pool(x, strides + 1, strides, rectified=rectified)
    stages = [("", channels)]
    if width:
        stages = [("1", width), ("2", channels)]
    for suffix, filters in stages:
        names = {"conv_name": f"{name}_conv{suffix}", "bn_name": f"{name}_bn{suffix}"}
        x = conv_bn(x, filters, 1, 1, **names, layers=layers, relu=suffix == "1")
    return x
