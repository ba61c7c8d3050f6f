"""SavedModels of one task: images in, class names out, preprocessing inside of the graph."""

import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from export import metadata, parity
from export.format import Format, Subject, first_images
from export.metadata import ArtifactError
from export.runtimes import Runtime
from export.saved_model import requests
from tailor_tf.data.batches import evaluation_input
from tailor_tf.data.decoding import decode_batch, make_square
from tailor_tf.data.requests import checked
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.support import files

SIGNATURES = (*requests.SIGNATURES, "float_images")


def classify(network: keras.Model, info: TaskInfo, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Answers of a signature.

    Args:
        network: functional, from normalised images to logits.
        info: classes and preprocessing.
        images: uint8 `[batch, resize, resize, 3]`.

    Returns:
        `class_name` `[batch]`, the likeliest class; `scores` `[batch, classes]`, which sum to one;
        `logits` `[batch, classes]`.
    """
    logits = network(evaluation_input(images, info.preprocessing), training=False)
    logits = tf.debugging.check_numerics(logits, "Scores that are not finite.")
    return {
        "class_name": tf.gather(tf.constant(info.classes), tf.argmax(logits, axis=-1)),
        "scores": tf.nn.softmax(logits),
        "logits": logits,
    }


def assets(info: TaskInfo, folder: str | os.PathLike, prefix: str = "") -> list[Any]:
    """Writes the files of `metadata` into a folder, as assets of a module that is to be saved.

    Args:
        info: the task.
        folder: where the files lie until the module is saved.
        prefix: start of their names.
    """
    found = []
    for name, text in metadata.files(info).items():
        path = pathlib.Path(folder) / f"{prefix}{name}"
        path.write_text(text, encoding="utf-8")
        found.append(tf.saved_model.Asset(str(path)))
    return found


class Server(tf.Module):
    """A network as it is served, from images of any size to class names.

    Every signature returns the answers of `classify`.

    Args:
        network: functional, from normalised images to logits, folded for speed.
        info: classes and preprocessing; written into the assets as `labels.txt` and
            `metadata.json`.
        folder: where the assets lie until the module is saved.
    """

    def __init__(self, network: keras.Model, info: TaskInfo, folder: str | os.PathLike):
        super().__init__()
        self._square = info.preprocessing.square
        self._answers = lambda images: classify(network, info, images)
        self.weights = [variable.value for variable in network.weights]
        self.assets = assets(info, folder)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serving_default(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies uint8 images `[batch, height, width, 3]` of one size, upright, RGB."""
        return self._answers(make_square(checked(images, self._square), self._square))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, name="images")])
    def float_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `serving_default`, with levels 0 to 255 as floats; rounded to whole levels.

        Values that are not finite are refused.
        """
        accepted = checked(images, self._square)  # before memory is taken for other types
        finite = tf.debugging.check_numerics(accepted, "Received an image with such values.")
        levels = tf.saturate_cast(tf.round(finite), tf.uint8)
        return self.serving_default(levels)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
    def encoded_images(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies encoded images `[batch]`, such as JPEG or PNG, each of its own size.

        JPEG files are turned upright as their Exif data say.
        """
        return self._answers(decode_batch(checked(encoded, self._square), self._square))


def save(path: str | os.PathLike, network: keras.Model, info: TaskInfo) -> None:
    """Writes a SavedModel with the signatures `SIGNATURES`, which are methods of `Server`.

    Args:
        path: the SavedModel's folder.
        network: functional, from normalised images to logits, folded for speed.
        info: classes and preprocessing.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = Server(network, info, folder)
        signatures = {name: getattr(server, name) for name in SIGNATURES}
        tf.saved_model.save(server, os.fspath(path), signatures=signatures)


def is_saved_model(path: pathlib.Path) -> bool:
    """Whether a path is the folder of a SavedModel."""
    return (path / "saved_model.pb").exists()


def load(path: str | os.PathLike) -> tuple[Any, TaskInfo]:
    """Loads a SavedModel; returns TensorFlow's object and the description of the task.

    Raises:
        ArtifactError: the folder is no SavedModel of this project.
    """
    info = read_info(path)
    return loaded(path), info


def loaded(path: str | os.PathLike) -> Any:
    """TensorFlow's object of a SavedModel.

    Loading and running a SavedModel runs the operations in it, which may read and write files: it
    is a program, not data.

    Raises:
        ArtifactError: TensorFlow cannot load it.
    """
    try:
        return tf.saved_model.load(os.fspath(path))
    except Exception as error:  # TensorFlow raises errors of many classes over a damaged file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ArtifactError(
            f"TensorFlow cannot load the SavedModel {os.fspath(path)}: {reason} Export it again."
        ) from error


def read_info(path: str | os.PathLike) -> TaskInfo:
    """Reads the description of the task in a SavedModel, without loading it.

    Raises:
        ArtifactError: the folder is no SavedModel of this project.
    """
    try:
        text = files.read_bytes(pathlib.Path(path) / "assets" / metadata.METADATA_FILE)
    except OSError as error:
        raise ArtifactError(
            f"{os.fspath(path)} is no SavedModel that pipelines.export wrote, or it is one of many "
            f"tasks and the name of one is missing: {error}."
        ) from error
    return metadata.from_json(text, os.fspath(path))


def load_runtime(path: pathlib.Path, threads: int) -> Runtime:
    """Loads a SavedModel to run in TensorFlow.

    Raises:
        ArtifactError: the folder is no SavedModel of this project.
    """
    del threads  # TensorFlow has one setting for the whole process, tf.config.threading
    loaded, info = load(path)
    return runtime(signature_of(path, loaded, requests.SIGNATURES[0]), info)


def signature_of(path: str | os.PathLike, loaded: Any, name: str) -> Callable[..., Any]:
    """A signature of TensorFlow's object of a SavedModel.

    Raises:
        ArtifactError: the model has no such signature.
    """
    if name not in loaded.signatures:
        raise ArtifactError(
            f"{os.fspath(path)} has no signature {name!r}; it has {', '.join(loaded.signatures)}. "
            "Export the task again."
        )
    return loaded.signatures[name]


def runtime(signature: Callable[..., Any], info: TaskInfo) -> Runtime:
    """A signature that takes tensors, behind the common interface."""

    def run(images):
        return signature(images=tf.constant(images))["logits"].numpy()

    return Runtime(info, lambda images: images, run)


class SavedModel(Format):
    """A SavedModel in float32, published for TensorFlow Serving."""

    name = "saved_model"
    file_name = "saved_model"
    limits = parity.FLOAT32
    is_served = True

    def write(self, path: pathlib.Path, subject: Subject) -> None:
        save(path, subject.folded, subject.info)

    def complete(self, path: pathlib.Path, subject: Subject) -> None:
        requests.write_warm_up(path, subject.info.name, first_images(subject.split, 1)[0])
