"""Image-classification tasks: where the images come from and how they become batches.

`load_task` reads a task by its name (the built-in digits, a folder of images, a TensorFlow
Datasets name); `training_batches` and `evaluation_batches` turn one of its splits into normalised
batches. Everything that a person can get wrong raises `DataError`.
"""

from tailor_tf.data.batches import Share, evaluation_batches, training_batches
from tailor_tf.data.errors import DataError
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.sources import load_task
from tailor_tf.data.splits import Split, Task

__all__ = [
    "DataError",
    "Preprocessing",
    "Share",
    "Split",
    "Task",
    "evaluation_batches",
    "load_task",
    "training_batches",
]
