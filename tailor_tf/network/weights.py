"""Reading and writing weights: safetensors files whose keys are `layer/variable`.

A variable's key is its Keras path, such as `block3_conv1/kernel` or `stem_bn/moving_mean`. Arrays
have Keras's layout: convolution kernels `[height, width, in, out]`, dense kernels `[in, out]`.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy

from tailor_tf.network import keys
from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import replacing

METADATA_KEY = "tailor_tf"


class WeightsError(TailorError):
    """A weights file that cannot be read or does not fit the network."""


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """The weights of `model` by key; without the states of random-number generators."""
    found: dict[str, keras.Variable] = {}
    for variable in model.weights:
        found[keys.stable(variable.path, found)] = variable
    return found


def arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """The values of the weights of `model` by key, copied."""
    return {key: np.array(variable) for key, variable in variables(model).items()}


def write(
    path: str | os.PathLike,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
) -> None:
    """Writes tensors and metadata (JSON values) to one safetensors file, in one piece.

    Raises:
        OSError: the file cannot be written, as on a full disk.
    """
    contiguous = {key: np.array(value, order="C", copy=None) for key, value in tensors.items()}
    text = {METADATA_KEY: json.dumps(metadata)}
    with replacing(path) as temporary:
        try:
            safetensors.numpy.save_file(contiguous, temporary, metadata=text)
        except safetensors.SafetensorError as error:
            raise OSError(f"{os.fspath(path)}: {error}") from error


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Any]:
    try:
        with safetensors.safe_open(os.fspath(path), framework="numpy") as file:
            yield file
    except (OSError, safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise WeightsError(
            f"Cannot read weights from {os.fspath(path)}: {error}. Expected a safetensors file."
        ) from error


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads a safetensors file.

    Returns:
        The tensors by key, half precision converted to float32, and the metadata, which is empty
        for a file of another program.

    Raises:
        WeightsError: there is no such file, or it is not a safetensors file.
    """
    with _opened(path) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    half = np.dtype(np.float16)
    wide = {k: v.astype(np.float32) if v.dtype == half else v for k, v in tensors.items()}
    return wide, read_metadata(path)


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Reads only the metadata of a safetensors file.

    Raises:
        WeightsError: there is no such file, or it is not a safetensors file.
    """
    with _opened(path) as file:
        return json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))


def assign(
    model: keras.Model,
    tensors: Mapping[str, np.ndarray],
    *,
    origin: str,
    wanted: Callable[[str], bool] = lambda key: True,
) -> None:
    """Sets the weights of `model` from tensors with the same keys.

    If one tensor does not fit, no weight is set.

    Args:
        model: the model, changed in place.
        tensors: arrays by key; keys that the model does not have are ignored.
        origin: name of the tensors' file or program, for the error message.
        wanted: from a key of the model to whether to set that weight; all weights by default.

    Raises:
        WeightsError: names the first weight of the model that is missing or of another shape.
    """
    todo = {key: v for key, v in variables(model).items() if wanted(key)}
    for key, variable in todo.items():
        received = tensors[key].shape if key in tensors else "no such tensor"
        if key not in tensors or received != tuple(variable.shape):
            raise WeightsError(
                f"{origin} does not fit {model.name}: {key} should have shape "
                f"{tuple(variable.shape)}, received {received}."
            )
    for key, variable in todo.items():
        variable.assign(tensors[key])


def checksum(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over keys, shapes and float32 values of tensors, in hex."""
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        value = np.ascontiguousarray(tensor, dtype="<f4")
        digest.update(f"{key}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def fingerprint(model: keras.Model) -> str:
    """The checksum of a network's weights without its classifier."""
    return checksum({k: v for k, v in arrays(model).items() if not keys.is_classifier(k)})
