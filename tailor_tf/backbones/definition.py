"""Definitions of cut networks: JSON that builds the flattened network again, at any image size.

A definition is Keras's own JSON without what the network's function does not depend on or what a
reader sets itself: image size, dtype policies, initial values, regularisation.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras

from tailor_tf.network.weights import WeightsError
from tailor_tf.support import limits
from tailor_tf.support.json_text import parsed

_LEFT_OUT = ("batch_shape", "dtype", "build_config", "compile_config", "trainable")
_LEFT_OUT_ENDS = ("_initializer", "_regularizer", "_constraint")
_TENSOR = "__keras_tensor__"
_MODULES = ("keras", "tailor_tf", "builtins")


def written(flat: keras.Model) -> str | None:
    """The definition of a flattened network.

    Returns:
        JSON; `None` if not every process can build it, because of a layer that is not `is_known`.
    """
    if not all(map(is_known, flat.operations)):
        return None
    config = _stripped(keras.saving.serialize_keras_object(flat))
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


def is_known(operation: keras.Operation) -> bool:
    """Whether an operation is one of Keras itself or of this project, and holds no code."""
    known = type(operation).__module__.partition(".")[0] in ("keras", "tailor_tf")
    return known and not isinstance(operation, keras.layers.Lambda)


def fingerprint(definition: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a definition."""
    return hashlib.sha256(definition.encode()).hexdigest()[:16]


def built(definition: str, image_size: int, origin: str) -> keras.Model:
    """Builds the network of a definition, with new weights.

    Args:
        definition: JSON of `written`.
        image_size: side of the network's square input, pixels.
        origin: name of the definition's file, for the error message.

    Raises:
        WeightsError: Keras cannot build it.
    """
    try:
        config = parsed(definition)
        _check_plain(config)
        [images] = [c for c in config["config"]["layers"] if c["class_name"] == "InputLayer"]
        images["config"]["batch_shape"] = [None, image_size, image_size, 3]
        return keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:  # Keras raises errors of any class
        raise WeightsError(
            f"Cannot build the network of {origin} at {image_size} pixels: {first_line(error)}"
        ) from error


def _check_plain(value: Any) -> None:
    """Refuses parts of a definition that `written` does not write: other modules, huge layers.

    Raises:
        ValueError: names the part.
    """
    if isinstance(value, Mapping):
        module = value.get("module", "keras")
        if module is not None and str(module).partition(".")[0] not in _MODULES:
            raise ValueError(f"a part of the module {str(module)!r}, expected Keras's alone")
    elif isinstance(value, int | float) and not abs(value) <= limits.CHANNELS:
        raise ValueError(f"the number {value}, expected {limits.CHANNELS:,} at most")
    if isinstance(value, Mapping | list):
        for entry in value.values() if isinstance(value, Mapping) else value:
            _check_plain(entry)


def first_line(error: Exception, length: int = 200) -> str:
    """The start of an error's message, on one line."""
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return text if len(text) <= length else f"{text[:length]}..."


def _stripped(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("class_name") == _TENSOR:  # a stand-in for the output of a layer
            history = value["config"]["keras_history"]
            config = {"shape": [], "dtype": "float32", "keras_history": history}
            return {"class_name": _TENSOR, "config": config}
        return {key: _stripped(entry) for key, entry in value.items() if _is_kept(key, entry)}
    if isinstance(value, list | tuple):
        return [_stripped(entry) for entry in value]
    return value


def _is_kept(key: str, value: Any) -> bool:
    if key == "registered_name" and value is None:
        return False
    return key not in _LEFT_OUT and not key.endswith(_LEFT_OUT_ENDS)
