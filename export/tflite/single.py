"""TFLite files of one task: builtin operations only, labels and preprocessing inside.

The input is a normalised image; `(level / 255 - mean) / std` is up to the caller. Behind the
flatbuffer the file is a zip archive of `labels.txt` and `metadata.json`, where Android's and other
tools look for associated files: `unzip model.tflite` shows them.
"""

import contextlib
import os
import pathlib
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from export import metadata
from export.metadata import METADATA_FILE, ArtifactError
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.support import archives
from tailor_tf.support.json_text import parsed

PRECISIONS = ("float32", "float16", "dynamic", "int8")
SIGNATURE = "serving_default"


def convert(
    network: keras.Model,
    precision: str = "float32",
    *,
    representative: Iterable[np.ndarray] = (),
    integer_io: bool = False,
) -> bytes:
    """Converts a network for LiteRT.

    Args:
        network: functional, from normalised images to logits, folded for speed.
        precision: "float32"; "float16" weights; "dynamic", int8 weights and float activations; or
            "int8", both int8, kernels per output channel.
        representative: for "int8", normalised images `[1, height, width, 3]` of the training split,
            from which the ranges of activations are measured.
        integer_io: whether the input and output of "int8" are int8, too.

    Returns:
        A flatbuffer with the signature `serving_default`, `images` to `logits`, batch 1; a caller
        may resize the batch.

    Raises:
        ArtifactError: an unknown precision, no representative images for "int8", or an operation
            that is no builtin of TFLite.
    """
    if precision not in PRECISIONS:
        raise ArtifactError(
            f"Unknown precision {precision!r} of TFLite; known are {', '.join(PRECISIONS)}."
        )
    samples = list(representative) if precision == "int8" else []
    if precision == "int8" and not samples:
        raise ArtifactError(
            "int8 needs representative images and received none; name the images of the task with "
            "--task."
        )
    with converter(network, precision, samples, integer_io=integer_io) as made:
        try:
            return made.convert()
        except Exception as error:  # the converter has no class of its own for this
            raise ArtifactError(f"TFLite cannot express {network.name}: {error}") from error


@contextlib.contextmanager
def converter(
    network: keras.Model, precision: str, samples: Sequence[np.ndarray], *, integer_io: bool = False
) -> Iterator[tf.lite.TFLiteConverter]:
    """Context manager: the converter that `convert` uses, with the same arguments."""
    with tempfile.TemporaryDirectory() as folder, without_warnings():
        _write_saved_model(folder, network)
        yield _converter(folder, precision, samples, integer_io)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Context manager: no warnings of the interpreter that TensorFlow itself uses."""
    with warnings.catch_warnings():
        for message in (".*tf.lite.Interpreter is deprecated", ".*preserve_all_tensors"):
            warnings.filterwarnings("ignore", message, UserWarning)
        yield


def _write_saved_model(folder: str, network: keras.Model) -> None:
    archive = keras.export.ExportArchive()
    archive.track(network)
    images = tf.TensorSpec([1, *network.input.shape[1:]], tf.float32, name="images")
    archive.add_endpoint(
        SIGNATURE,
        lambda images: {"logits": network(images, training=False)},
        input_signature=[images],
    )
    archive.write_out(folder, verbose=False)


def _converter(
    folder: str, precision: str, samples: Sequence[np.ndarray], integer_io: bool
) -> tf.lite.TFLiteConverter:
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ({"images": image} for image in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if integer_io:
            converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter


def save(path: str | os.PathLike, content: bytes, info: TaskInfo) -> None:
    """Writes a converted network together with the files of `metadata`."""
    path = pathlib.Path(path)
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in metadata.files(info, content).items():
            archive.writestr(zipfile.ZipInfo(name), text)  # no time of day: same flags, same bytes


def read_info(path: str | os.PathLike) -> TaskInfo:
    """Reads the description of the task in a TFLite file.

    Raises:
        ArtifactError: the file is no TFLite file of this project.
    """
    try:
        text = read_member(path, METADATA_FILE)
    except archives.ERRORS as error:
        raise ArtifactError(
            f"{os.fspath(path)} holds no {METADATA_FILE}; expected a TFLite file that "
            "pipelines.export wrote, or, of a file of many tasks, the name of one."
        ) from error
    return metadata.from_json(text, os.fspath(path))


def network_of(path: str | os.PathLike) -> bytes:
    """The flatbuffer of a TFLite file, without the zip archive behind it.

    Raises:
        archives.ERRORS: there is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        end = min(member.header_offset for member in archive.infolist())
    with open(path, "rb") as file:
        return file.read(max(end, 0))


def check(path: str | os.PathLike) -> None:
    """Refuses a TFLite file whose network was altered.

    Raises:
        ArtifactError: the network is not the one that the file describes.
    """
    described = parsed(read_member(path, METADATA_FILE))
    metadata.check_network(described, network_of(path), os.fspath(path))


def read_member(path: str | os.PathLike, name: str) -> bytes:
    """Reads a description in the zip archive behind a flatbuffer.

    Raises:
        archives.ERRORS: there is no such file, or it is damaged or too large.
    """
    with zipfile.ZipFile(path) as archive:
        return archives.read(archive, name)
