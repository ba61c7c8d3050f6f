"""SavedModels for TF Serving: images in, class names out, preprocessing inside the graph."""

import os
import pathlib
import tempfile
from typing import Any

import keras
import tensorflow as tf

from export.encoded import decode_batch
from export.metadata import METADATA_FILE, ArtifactError, Metadata
from tailor_tf.data.batches import evaluation_input
from tailor_tf.data.images import resize_and_crop

SIGNATURES = ("serving_default", "encoded_images", "float_images")


def classify(network: keras.Model, metadata: Metadata, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a signature answers.

    Args:
        network: functional, from normalised images to logits.
        metadata: classes and preprocessing.
        images: uint8 `[batch, resize, resize, 3]`.

    Returns:
        `class_name` `[batch]`, the likeliest class; `scores` `[batch, classes]`, which sum to one;
        `logits` `[batch, classes]`.
    """
    logits = network(evaluation_input(images, metadata.preprocessing), training=False)
    return {
        "class_name": tf.gather(tf.constant(metadata.classes), tf.argmax(logits, axis=-1)),
        "scores": tf.nn.softmax(logits),
        "logits": logits,
    }


def assets(metadata: Metadata, folder: str | os.PathLike, prefix: str = "") -> list[Any]:
    """Writes what travels with a network into `folder`, as assets of a module that is saved."""
    found = []
    for name, text in metadata.files.items():
        path = pathlib.Path(folder) / f"{prefix}{name}"
        path.write_text(text, encoding="utf-8")
        found.append(tf.saved_model.Asset(str(path)))
    return found


class Server(tf.Module):
    """A network as it is served, from images of any size to class names.

    Every signature returns what `classify` does.

    Args:
        network: functional, from normalised images to logits, folded for speed.
        metadata: classes and preprocessing; written into the assets as `labels.txt` and
            `metadata.json`.
        folder: where the assets lie until the module is saved.
    """

    def __init__(self, network: keras.Model, metadata: Metadata, folder: str | os.PathLike):
        super().__init__()
        self._side = metadata.preprocessing.resize
        self._answers = lambda images: classify(network, metadata, images)
        self.weights = [variable.value for variable in network.weights]
        self.assets = assets(metadata, folder)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serving_default(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies uint8 images `[batch, height, width, 3]` of one size, red, green, blue."""
        return self._answers(resize_and_crop(images, self._side))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, name="images")])
    def float_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `serving_default`, with levels 0 to 255 as floats; rounded to whole levels."""
        levels = tf.saturate_cast(tf.round(images), tf.uint8)
        return self.serving_default(levels)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
    def encoded_images(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies encoded images `[batch]`, JPEG or PNG, each of its own size."""
        return self._answers(decode_batch(encoded, self._side))


def save(path: str | os.PathLike, network: keras.Model, metadata: Metadata) -> None:
    """Writes a SavedModel with the signatures `SIGNATURES`; see `Server` for what they do."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(network, metadata, folder)
        signatures = {name: getattr(server, name) for name in SIGNATURES}
        tf.saved_model.save(server, os.fspath(path), signatures=signatures)


def load(path: str | os.PathLike) -> tuple[Any, Metadata]:
    """Loads a SavedModel and its metadata.

    Raises:
        ArtifactError: the folder is no SavedModel of this project.
    """
    try:
        metadata = (pathlib.Path(path) / "assets" / METADATA_FILE).read_text(encoding="utf-8")
        return tf.saved_model.load(os.fspath(path)), Metadata.from_json(metadata)
    except OSError as error:
        raise ArtifactError(
            f"{os.fspath(path)} is no SavedModel that pipelines.export wrote, or it is one of many "
            f"tasks and the name of one is missing: {error}."
        ) from error
