"""Tasks over one small universal network, for what many tasks share."""

import numpy as np

from tailor_tf.data import Preprocessing
from tailor_tf.data.batches import central_window
from tailor_tf.method.task_pack import Tailored
from tests.helpers import random_architecture, random_student

# Name, classes, and by how many pixels images are larger than the network's input.
TASKS = (
    ("animals", ("ant", "bee", "cow", "dog", "eël"), 2),
    ("digits.v2", tuple("0123456789"), 0),
    ("hand-signs", ("rock", "paper", "scissors"), 2),
)
LIMIT = 1e-5  # of logits, relative to the largest one where that is above 1


def random_tasks(universal):
    """Three tasks with random weights, architectures and preprocessing of their own, by name."""
    size = universal.graph.input_shape[0]
    tasks = {}
    for seed, (name, classes, margin) in enumerate(TASKS):
        rng = np.random.default_rng(seed)
        architecture = random_architecture(universal.graph.num_blocks, rng, 3)
        student = random_student(universal, architecture, rng, len(classes))
        mean, std = rng.uniform(0.3, 0.6, 3), rng.uniform(0.2, 0.4, 3)
        preprocessing = Preprocessing(size, tuple(mean), tuple(std), False, 0, size + margin)
        tasks[name] = Tailored(name, classes, preprocessing, architecture, student, universal)
    return tasks


def pixels(tailored, count=6):
    """Noise as a task's images: uint8 `[count, resize, resize, 3]`."""
    side = tailored.preprocessing.resize
    return np.random.default_rng(9).integers(0, 256, (count, side, side, 3), np.uint8)


def own_logits(tailored, images):
    """What the task's student itself answers, in NumPy's reading of the preprocessing."""
    preprocessing = tailored.preprocessing
    window = central_window(images, preprocessing.image_size) / 255.0
    normalised = ((window - preprocessing.mean) / preprocessing.std).astype("float32")
    return tailored.student(normalised, training=False)["logits"].numpy()


def assert_same_logits(received, expected):
    """Holds logits to `LIMIT`."""
    error = np.abs(np.asarray(received) - expected).max()
    assert error <= LIMIT * max(1.0, np.abs(expected).max())
