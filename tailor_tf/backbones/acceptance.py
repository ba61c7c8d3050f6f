"""What is refused of a Keras model before it becomes a universal network, layer by layer."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers as kl

from tailor_tf.backbones import definition
from tailor_tf.support.errors import TailorError

_IMAGE_CHANGES = (kl.Pipeline, kl.Equalization, kl.AutoContrast, kl.Solarization)


def check(model: keras.Model, name: str) -> None:
    """Refuses a model that cannot be a universal network.

    Args:
        model: a Keras model.
        name: its name in error messages.

    Raises:
        TailorError: it is neither functional nor sequential, has several inputs or outputs, takes
            other images than `[batch, height, width, 3]`, has a layer that cannot be built again
            in any process, or weights that are not finite. The message names the layer.
    """
    _check_functional(model, name)
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[-1] != 3:
        raise TailorError(
            f"{name} takes inputs of shape {shape}; expected images [batch, height, width, 3] in "
            "red, green and blue."
        )
    for operation, path in operations(model, name):
        problem = _problem(operation)
        if problem:
            raise TailorError(f"{name} has the layer {path} ({_kind(operation)}), which {problem}.")


def operations(model: keras.Model, name: str) -> Iterator[tuple[keras.Operation, str]]:
    """The operations of a model and of all models in it, each with its path such as "a/conv".

    Raises:
        TailorError: a model in it is neither functional nor sequential, or has several inputs or
            outputs.
    """
    is_sequential = isinstance(model, keras.Sequential)
    for operation in model.layers if is_sequential else model.operations:
        if isinstance(operation, keras.Model):
            _check_functional(operation, f"{name}, its part {operation.name},")
            inner = operations(operation, name)
            yield from ((part, f"{operation.name}/{path}") for part, path in inner)
        else:
            yield operation, operation.name


def _check_functional(model: keras.Model, name: str) -> None:
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise TailorError(
            f"{name} is a {type(model).__name__} without inputs and outputs that Keras knows; "
            "expected a functional or sequential model with an Input."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise TailorError(
            f"{name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; expected one "
            "of each."
        )


def _problem(operation: keras.Operation) -> str:
    """Why an operation is refused; empty if it is not."""
    if isinstance(operation, kl.Lambda):
        return "holds code of its own; expected layers of Keras, as no code of a file is run"
    if not definition.is_known(operation):
        return "is no layer of Keras; expected layers that every process can build"
    if isinstance(operation, _IMAGE_CHANGES):
        return "changes images; expected such a step before the network, not in it"
    if getattr(operation, "data_format", "channels_last") != "channels_last":
        return "has channels first; expected data_format channels_last"
    if getattr(operation, "quantization_mode", None):
        return "is quantised; expected weights that are not quantised"
    if isinstance(operation, kl.BatchNormalization) and not _is_of_channels(operation):
        return "normalises another axis than the last; expected channels last"
    weights = operation.weights if isinstance(operation, keras.Layer) else ()
    values = (np.array(weight) for weight in weights)
    if not all(np.isfinite(value).all() for value in values):
        return "has weights that are not finite; expected a network that was trained to the end"
    return ""


def _is_of_channels(layer: kl.BatchNormalization) -> bool:
    return layer.axis in (-1, layer.input_spec.ndim - 1)


def _kind(operation: keras.Operation) -> str:
    return type(operation).__name__
