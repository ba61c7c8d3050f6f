"""SavedModels for TF Serving: images in, class names out, preprocessing inside the graph."""

import os
import pathlib
import tempfile
from typing import Any

import keras
import tensorflow as tf

from export.encoded import decode
from export.metadata import METADATA_FILE, ArtifactError, Metadata
from tailor_tf.data.batches import central_window
from tailor_tf.data.images import resize_and_crop

SIGNATURES = ("serving_default", "encoded_images", "float_images")


class Server(tf.Module):
    """A network as it is served, from images of any size to class names.

    Every signature returns `class_name` `[batch]`, the likeliest class, `scores`
    `[batch, classes]`, which sum to one, and `logits` `[batch, classes]`.

    Args:
        network: functional, from normalised images to logits, folded for speed.
        metadata: classes and preprocessing; written into the assets as `labels.txt` and
            `metadata.json`.
        folder: where the assets lie until the module is saved.
    """

    def __init__(self, network: keras.Model, metadata: Metadata, folder: str | os.PathLike):
        super().__init__()
        self._preprocessing = metadata.preprocessing
        self._classes = tf.constant(metadata.classes)
        self._network = lambda images: network(images, training=False)
        self.weights = [variable.value for variable in network.weights]
        self.assets = []
        for name, text in metadata.files.items():
            path = pathlib.Path(folder) / name
            path.write_text(text, encoding="utf-8")
            self.assets.append(tf.saved_model.Asset(str(path)))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serving_default(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies uint8 images `[batch, height, width, 3]` of one size, red, green, blue."""
        return self._answers(resize_and_crop(images, self._preprocessing.resize))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, name="images")])
    def float_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `serving_default`, with levels 0 to 255 as floats; rounded to whole levels."""
        levels = tf.saturate_cast(tf.round(images), tf.uint8)
        return self.serving_default(levels)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
    def encoded_images(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies encoded images `[batch]`, JPEG or PNG, each of its own size."""
        side = self._preprocessing.resize
        images = tf.map_fn(
            lambda contents: decode(contents, side),
            encoded,
            fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8),
        )
        return self._answers(images)

    def _answers(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        window = central_window(images, self._preprocessing.image_size)
        logits = self._network(self._preprocessing.normalise(window))
        return {
            "class_name": tf.gather(self._classes, tf.argmax(logits, axis=-1)),
            "scores": tf.nn.softmax(logits),
            "logits": logits,
        }


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
            f"{os.fspath(path)} is no SavedModel that pipelines.export wrote: {error}."
        ) from error
