"""The common interface of artifacts in their own runtimes: TensorFlow, LiteRT, ONNX Runtime.

Everything comes out of the artifact, preprocessing and classes included.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from tailor_tf.data.batches import central_window
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo


@dataclasses.dataclass(frozen=True, eq=False)
class Runtime:
    """An artifact, loaded.

    Attributes:
        info: name, classes and preprocessing of the task, as the artifact has them.
        prepare: from uint8 images `[batch, resize, resize, 3]` to the input of `run`.
        run: from prepared images to logits, float32 `[batch, classes]`.
    """

    info: TaskInfo
    prepare: Callable[[np.ndarray], np.ndarray]
    run: Callable[[np.ndarray], np.ndarray]

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits, float32 `[batch, classes]`, of uint8 images `[batch, resize, resize, 3]`."""
        return self.run(self.prepare(images))


def normaliser(preprocessing: Preprocessing) -> Callable[[np.ndarray], np.ndarray]:
    """Preprocessing in NumPy, as done by a program that knows the artifact's metadata alone.

    Returns:
        A function from uint8 images `[batch, resize, resize, 3]` to float32 ones
        `[batch, image_size, image_size, 3]`.
    """
    mean, std = (np.float32(values) for values in (preprocessing.mean, preprocessing.std))

    def normalise(images: np.ndarray) -> np.ndarray:
        window = central_window(images, preprocessing.image_size)
        return (window.astype(np.float32) / 255 - mean) / std

    return normalise
