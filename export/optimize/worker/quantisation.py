"""Networks with fake quantisation, by TensorFlow Model Optimization."""

from collections.abc import Iterable

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from export.optimize.worker.network import Fixed

_QUANTISATION = tfmot.quantization.keras
_Quantizer = _QUANTISATION.quantizers.LastValueQuantizer


class Untouched(_QUANTISATION.QuantizeConfig):
    """No quantisation: of layers that move values and keep their scale."""

    def get_weights_and_quantizers(self, layer):
        return []

    def get_activations_and_quantizers(self, layer):
        return []

    def set_quantize_weights(self, layer, quantize_weights):
        pass

    def set_quantize_activations(self, layer, quantize_activations):
        pass

    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {}


class OutputAlone(Untouched):
    """Quantisation of a layer's output, activation included, not of its weights."""

    def get_output_quantizers(self, layer):
        return [
            _QUANTISATION.quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]


class Kernel(OutputAlone):
    """Quantisation of a layer's output, and of its kernel with a scale per output channel.

    The library's own configuration refuses ReLU6 as a part of a convolution.
    """

    def get_weights_and_quantizers(self, layer):
        kind = DepthwiseQuantizer if _is_depthwise(layer) else _Quantizer
        quantizer = kind(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)
        return [(getattr(layer, _kernel(layer)), quantizer)]

    def set_quantize_weights(self, layer, quantize_weights):
        setattr(layer, _kernel(layer), quantize_weights[0])


def _is_depthwise(layer: tf_keras.layers.Layer) -> bool:
    return isinstance(layer, tf_keras.layers.DepthwiseConv2D)


def _kernel(layer: tf_keras.layers.Layer) -> str:
    """Name of the attribute that holds a layer's kernel."""
    return "depthwise_kernel" if _is_depthwise(layer) else "kernel"


class DepthwiseQuantizer(_Quantizer):
    """Fake quantisation of a kernel `[height, width, in, multiplier]`, a scale per output channel.

    The library's own has a scale per entry of the last axis, which is one for all channels here.
    """

    def build(self, tensor_shape, name, layer):
        return super().build(_with_channels_last(tensor_shape), name, layer)

    def __call__(self, inputs, training, weights, **kwargs):
        kernel = tf.reshape(inputs, _with_channels_last(inputs.shape))
        return tf.reshape(super().__call__(kernel, training, weights, **kwargs), inputs.shape)


def _with_channels_last(shape: tf.TensorShape) -> tuple[int, int, int, int]:
    height, width, channels, multiplier = shape
    return height, width, 1, channels * multiplier


def quantised(network: tf_keras.Model) -> tf_keras.Model:
    """A copy of a network with fake quantisation of kernels and activations."""
    scope = {kind.__name__: kind for kind in (Fixed, Untouched, OutputAlone, Kernel)}
    with _QUANTISATION.quantize_scope(scope):
        marked = tf_keras.models.clone_model(network, clone_function=_annotated)
        for new, old in zip(marked.layers, network.layers, strict=True):
            new.set_weights(old.get_weights())
        return _QUANTISATION.quantize_apply(marked)


def _annotated(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    if isinstance(layer, Fixed):
        return _QUANTISATION.quantize_annotate_layer(layer, Untouched())
    if not layer.trainable:  # it would be trained all the same
        return _QUANTISATION.quantize_annotate_layer(layer, OutputAlone())
    if isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.DepthwiseConv2D):
        return _QUANTISATION.quantize_annotate_layer(layer, Kernel())
    return _QUANTISATION.quantize_annotate_layer(layer)


def set_ranges(
    model: tf_keras.Model, network: tf_keras.Model, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]
) -> None:
    """Starts the ranges of a quantised network's activations at their values over some images.

    The library starts them all at -6 to 6 and moves them by a thousandth per step.

    Args:
        model: the quantised network, changed in place.
        network: the network without quantisation.
        batches: batches of images and labels.
    """
    low, high = _ranges(network, batches)
    (first,) = network.input_names
    for layer in model.layers:
        name = layer.layer.name if hasattr(layer, "layer") else first
        for variable in layer.weights:
            kind = variable.name.partition("/")[2].removesuffix(":0")
            if "kernel" in kind:
                continue
            if kind.endswith("_min"):
                variable.assign(low[name])
            elif kind.endswith("_max"):
                variable.assign(high[name])


def _ranges(
    network: tf_keras.Model, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Smallest and largest output of each layer, by its name; zero is always between them."""
    outputs = {layer.name: layer.output for layer in network.layers}
    probe = tf_keras.Model(network.input, outputs)
    low, high = dict.fromkeys(outputs, 0.0), dict.fromkeys(outputs, 0.0)
    for images, _ in batches:
        for name, values in probe(images, training=False).items():
            low[name] = min(low[name], float(values.numpy().min()))
            high[name] = max(high[name], float(values.numpy().max()))
    return low, high
