"""Networks with fake quantisation, by TensorFlow Model Optimization."""

from collections.abc import Iterable

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from export.optimize.worker.network import Fixed

_QUANTISATION = tfmot.quantization.keras


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


class ActivationAlone(Untouched):
    """Quantisation of a layer's activations, not of its weights."""

    def get_activations_and_quantizers(self, layer):
        quantizer = _QUANTISATION.quantizers.MovingAverageQuantizer(
            num_bits=8, per_axis=False, symmetric=False, narrow_range=False
        )
        return [(layer.activation, quantizer)]

    def set_quantize_activations(self, layer, quantize_activations):
        (layer.activation,) = quantize_activations


def quantised(network: tf_keras.Model) -> tf_keras.Model:
    """A copy of a network with fake quantisation of kernels and activations."""
    scope = {kind.__name__: kind for kind in (Fixed, Untouched, ActivationAlone)}
    with _QUANTISATION.quantize_scope(scope):
        marked = tf_keras.models.clone_model(network, clone_function=_annotated)
        for new, old in zip(marked.layers, network.layers, strict=True):
            new.set_weights(old.get_weights())
        return _QUANTISATION.quantize_apply(marked)


def _annotated(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    if isinstance(layer, Fixed):
        return _QUANTISATION.quantize_annotate_layer(layer, Untouched())
    if isinstance(layer, tf_keras.layers.DepthwiseConv2D) or not layer.trainable:
        # A depthwise kernel would get one scale for all channels, where the converter gives each
        # its own; a fixed one would be trained all the same.
        return _QUANTISATION.quantize_annotate_layer(layer, ActivationAlone())
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
