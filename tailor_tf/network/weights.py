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
from tailor_tf.support import files, limits
from tailor_tf.support.errors import TailorError
from tailor_tf.support.json_text import canonical, parsed

METADATA_KEY = "tailor_tf"
CHECKSUM = "checksum"  # entry of the metadata; missing in files of earlier versions of this project
_LENGTH = 8  # bytes at the start of a safetensors file that say how long its header is


class WeightsError(TailorError):
    """A weights file that cannot be read or does not fit the network."""


class AlteredError(WeightsError):
    """A weights file whose content does not match its checksum."""


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
    with files.replacing(path) as temporary:
        try:
            safetensors.numpy.save_file(contiguous, temporary, metadata=text)
        except safetensors.SafetensorError as error:
            raise OSError(f"{os.fspath(path)}: {error}") from error


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Any]:
    try:
        _check_header(path)
        with safetensors.safe_open(os.fspath(path), framework="numpy") as file:
            yield file
    except (OSError, safetensors.SafetensorError, TypeError, ValueError) as error:
        raise WeightsError(
            f"Cannot read weights from {os.fspath(path)}: {error}. Expected a safetensors file."
        ) from error


def _check_header(path: str | os.PathLike) -> None:
    """Refuses what is no file, and a header that is too long to be one of this project."""
    files.check_file(path, follow=True)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
    if length > limits.HEADER_BYTES:
        raise ValueError(f"a header of {length:,} bytes, expected {limits.HEADER_BYTES:,} at most")


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
        metadata = parsed((file.metadata() or {}).get(METADATA_KEY, "{}"))
        if not isinstance(metadata, dict):
            raise ValueError(f"its metadata {METADATA_KEY} is no JSON object")
        return metadata


def sealed(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with a checksum of the tensors and of itself, see `check_whole`."""
    return {**metadata, CHECKSUM: _seal(tensors, metadata)}


def check_whole(
    path: str | os.PathLike, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> None:
    """Refuses the content of a file that does not match its checksum, if it has one.

    Args:
        path: the file, for the error message.
        tensors: its tensors.
        metadata: its metadata, the checksum among them.

    Raises:
        AlteredError: the content does not match.
    """
    rest = {key: value for key, value in metadata.items() if key != CHECKSUM}
    received = metadata.get(CHECKSUM)
    if received not in (None, _seal(tensors, rest)):
        raise AlteredError(
            f"{os.fspath(path)} was altered: its content does not match its checksum "
            f"{str(received)[:16]}."
        )


def _seal(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> str:
    """SHA-256 of tensors and metadata, independent of the order of keys."""
    return hashlib.sha256(f"{checksum(tensors)}{canonical(metadata)}".encode()).hexdigest()


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
        WeightsError: names the first weight of the model that is missing, of another shape, or not
            finite.
    """
    todo = {key: v for key, v in variables(model).items() if wanted(key)}
    for key, variable in todo.items():
        received = tensors[key].shape if key in tensors else "no such tensor"
        if key not in tensors or received != tuple(variable.shape):
            raise WeightsError(
                f"{origin} does not fit {model.name}: {key} should have shape "
                f"{tuple(variable.shape)}, received {received}."
            )
        if not np.isfinite(np.asarray(tensors[key])).all():
            raise WeightsError(
                f"{origin} is damaged: {key} holds values that are not finite; expected numbers."
            )
    for key, variable in todo.items():
        variable.assign(tensors[key])


def checksum(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over keys, shapes and values of tensors, in hex; floats of any type as float32."""
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        kind = "<f4" if tensor.dtype.kind == "f" else tensor.dtype
        value = np.ascontiguousarray(tensor, dtype=kind)
        digest.update(f"{key}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def fingerprint(model: keras.Model) -> str:
    """The checksum of a network's weights without its classifier."""
    return checksum({k: v for k, v in arrays(model).items() if not keys.is_classifier(k)})
