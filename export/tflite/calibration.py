"""Images from which int8 takes the ranges of its activations."""

from collections.abc import Iterator

import numpy as np

from export.metadata import ArtifactError
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.data.task import Task

CALIBRATION_IMAGES = 200  # and one of each class at least


def calibration_images(task: Task) -> Iterator[np.ndarray]:
    """Normalised training images, float32 `[1, height, width, 3]` each, class by class.

    Raises:
        ArtifactError: a class has no training image.
    """
    chosen = []
    share = -(-CALIBRATION_IMAGES // task.num_classes)
    for label, name in enumerate(task.classes):
        members = np.flatnonzero(task.train.labels == label)
        if not len(members):
            raise ArtifactError(
                f"Class {name!r} has no training image to calibrate int8 with; add one, or leave "
                "int8 out of --precision."
            )
        chosen.extend(members[:share])
    samples = task.train.select(np.asarray(chosen), "calibration")
    for image, _ in evaluation_batches(samples, task.preprocessing, batch_size=1):
        yield image.numpy()
