"""Factories of layers: new layers, stock Keras layers, or layers of another network.

Blocks are functions that ask a factory for their layers by name. One description therefore builds
a trainable network, a frozen part of a student or a plain network, depending on the factory.
"""

import keras

from tailor_tf.network import keys
from tailor_tf.network.architecture import STATISTICS
from tailor_tf.network.blocks import same_padding
from tailor_tf.network.layers import BN_EPSILON, BN_MOMENTUM, BatchNorm, Shared
from tailor_tf.network.own import is_own


def settings(name, operation):
    """The config of another layer or operation with a new name.

    A layer's dtype policy, and whether it is frozen, are left out.
    """
    config = {**operation.get_config(), "name": name}
    if isinstance(operation, keras.Layer):
        for key in ("dtype", "trainable"):
            config.pop(key, None)
    return config


class NewLayers:
    """Factory of new trainable layers: for a source network, a teacher, and proxies."""

    def conv(self, name, filters, kernel_size, strides):
        """Returns a convolution without bias and padding, with He initialisation."""
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
            name=name,
        )

    def depthwise_conv(self, name, kernel_size, strides):
        """Returns a depthwise convolution without bias and padding, with He initialisation."""
        return keras.layers.DepthwiseConv2D(
            kernel_size,
            strides=strides,
            use_bias=False,
            depthwise_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
            name=name,
        )

    def batch_norm(self, name, epsilon=BN_EPSILON):
        """Returns a batch norm with trainable scale and offset."""
        return BatchNorm(name=name, epsilon=epsilon)

    def copy(self, name, operation):
        """Returns a layer or operation with the settings of another one and new weights.

        It computes in the precision of today's dtype policy, not in the one that the other layer
        was made or saved with.
        """
        if isinstance(operation, keras.layers.BatchNormalization):
            return self.batch_norm(name, operation.epsilon)
        return type(operation).from_config(settings(name, operation))


class CountedLayers(NewLayers):
    """Factory of new layers that are counted and not computed with.

    Kernels are zero: drawing those of a large network takes seconds.
    """

    def conv(self, name, filters, kernel_size, strides):
        """Returns a convolution without bias and padding."""
        return _undrawn(super().conv(name, filters, kernel_size, strides))

    def depthwise_conv(self, name, kernel_size, strides):
        """Returns a depthwise convolution without bias and padding."""
        return _undrawn(super().depthwise_conv(name, kernel_size, strides))

    def copy(self, name, operation):
        """Returns a layer or operation with the settings of another one."""
        return _undrawn(super().copy(name, operation))


def _undrawn(layer):
    """The layer itself, with kernels that will be zero."""
    for attribute in ("kernel_initializer", "depthwise_initializer", "pointwise_initializer"):
        if hasattr(layer, attribute):
            setattr(layer, attribute, keras.initializers.Zeros())
    return layer


class PlainLayers(NewLayers):
    """Factory of stock Keras layers only, so that the network needs no code of this project."""

    def batch_norm(self, name, epsilon=BN_EPSILON):
        """Returns Keras's own batch norm."""
        return keras.layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=epsilon, name=name)


class UniversalLayers(NewLayers):
    """Factory of layers over universal kernels; batch norms have statistics of their own.

    Args:
        universal: the universal network's Keras model. Its kernel variables are not copied: any
            number of tasks uses the same ones.
        own: the weights that the task has a trainable copy of, one of `architecture.OWN`.
    """

    def __init__(self, universal: keras.Model, own: str = STATISTICS):
        self.universal = universal
        self.own = own

    def conv(self, name, filters, kernel_size, strides):
        """Returns a frozen convolution with the universal network's kernel."""
        return Shared(self.universal.get_layer(name))

    def depthwise_conv(self, name, kernel_size, strides):
        """Returns a depthwise convolution with the universal network's kernel, frozen if shared."""
        return self._of_universal(name)

    def batch_norm(self, name, epsilon=BN_EPSILON):
        """Returns a new batch norm with the universal one's weights, frozen unless they are own."""
        freeze_affine = self.own == STATISTICS
        return self._started(BatchNorm(name=name, epsilon=epsilon, freeze_affine=freeze_affine))

    def _started(self, layer):
        source = self.universal.get_layer(layer.name)
        layer.build((None, None, None, source.gamma.shape[0]))
        layer.set_weights(source.get_weights())
        return layer

    def _of_universal(self, name):
        """The universal layer of this name: shared and frozen, or a trainable copy if it is own."""
        source = self.universal.get_layer(name)
        if not is_own(source, self.own):
            return Shared(source)
        layer = NewLayers.copy(self, name, source)
        layer.build(source.input.shape)
        layer.set_weights(source.get_weights())
        return layer

    def copy(self, name, operation):
        """Returns a layer with the universal one's weights; batch norms as from `batch_norm`."""
        is_norm = isinstance(operation, keras.layers.BatchNormalization)
        if is_norm or not getattr(operation, "weights", ()):
            return super().copy(name, operation)
        return self._of_universal(name)


class HeadLayers(UniversalLayers):
    """Factory of the layers of a student's head: universal kernels, batch norms of the task."""

    def batch_norm(self, name, epsilon=BN_EPSILON):
        """Returns a new batch norm with the universal one's weights, all trainable."""
        return self._started(BatchNorm(name=name, epsilon=epsilon))

    def copy(self, name, operation):
        """Returns a layer with the universal one's weights, frozen but for a normalisation's."""
        layer = super().copy(name, operation)
        owned = isinstance(layer, Shared) and any(keys.is_task(v.path) for v in layer.shared)
        return self._started(NewLayers.copy(self, name, operation)) if owned else layer


class ExistingLayers(NewLayers):
    """Factory of the layers that a network has already; what has no weights is made anew.

    Args:
        model: the network, in which the layers have the names that are asked for.
    """

    def __init__(self, model: keras.Model):
        self.model = model

    def conv(self, name, filters, kernel_size, strides):
        """Returns the network's convolution."""
        return self.model.get_layer(name)

    def depthwise_conv(self, name, kernel_size, strides):
        """Returns the network's depthwise convolution."""
        return self.model.get_layer(name)

    def batch_norm(self, name, epsilon=BN_EPSILON):
        """Returns the network's batch norm."""
        return self.model.get_layer(name)

    def copy(self, name, operation):
        """Returns the network's layer, or an operation like another one if it has no weights."""
        has_weights = getattr(operation, "weights", ())
        return self.model.get_layer(name) if has_weights else super().copy(name, operation)


class AdapterLayers(HeadLayers):
    """Factory of layers over universal kernels with a 1x1 adapter beside each 3x3 convolution."""

    def conv(self, name, filters, kernel_size, strides):
        """Returns a frozen convolution; if its kernel is 3x3, summed with its adapter."""
        shared = super().conv(name, filters, kernel_size, strides)
        return _adapted(shared) if kernel_size == 3 else shared

    def copy(self, name, operation):
        """Returns the same as `UniversalLayers.copy`; 3x3 convolutions summed with adapters."""
        layer = super().copy(name, operation)
        source = getattr(layer, "source", None)
        if not isinstance(source, keras.layers.Conv2D) or source.kernel_size != (3, 3):
            return layer
        plain = source.groups == 1 and source.dilation_rate == (1, 1)
        return _adapted(layer) if plain else layer


def _adapted(shared):
    """Function of a tensor: a 3x3 convolution plus a 1x1 one whose kernel starts at zero."""
    source = shared.source
    adapter = keras.layers.Conv2D(
        source.filters,
        1,
        strides=source.strides,
        use_bias=False,
        kernel_initializer="zeros",
        name=f"{shared.name}_adapter",
    )

    def call(x):
        before = [
            _pixels_before_centre(side, stride, source.padding)
            for side, stride in zip(x.shape[1:3], source.strides, strict=True)
        ]
        after = 1 if source.padding == "valid" else 0
        cropped = keras.layers.Cropping2D([(first, after) for first in before])(x)
        return keras.layers.Add()([shared(x), adapter(cropped)])

    return call


def _pixels_before_centre(side, stride, padding):
    """Number of input pixels before the centre of a 3x3 kernel at its first position."""
    if padding == "valid":
        return 1
    before, _ = same_padding(side, 3, stride)
    return 1 - before
