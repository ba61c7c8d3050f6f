"""Comparison of artifacts with their network over the images of one split."""

import dataclasses
import functools
import pathlib

import keras
import numpy as np

from export import formats, parity
from export.format import first_images
from export.parity import Parity
from tailor_tf.data.batches import evaluation_input
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split


@dataclasses.dataclass(frozen=True, eq=False)
class Judge:
    """Compares artifacts with the network that they were made of.

    Attributes:
        network: functional, from normalised images to logits.
        preprocessing: from images of the split to normalised ones.
        split: the images.
    """

    network: keras.Model
    preprocessing: Preprocessing
    split: Split

    def compare(self, path: pathlib.Path) -> Parity:
        """Loads an artifact and compares its logits with the network's."""
        runtime = formats.load(path, threads=2)
        received = parity.in_batches(runtime.logits, self._images)
        return parity.compare(self._expected, received, self.split.labels)

    @functools.cached_property
    def _images(self) -> np.ndarray:
        return first_images(self.split)

    @functools.cached_property
    def _expected(self) -> np.ndarray:
        return parity.in_batches(self._logits, self._images)

    def _logits(self, images: np.ndarray) -> np.ndarray:
        normalised = evaluation_input(images, self.preprocessing)
        return np.asarray(self.network(normalised, training=False))
