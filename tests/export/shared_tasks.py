"""Tasks over one small universal network, for artifacts of many tasks."""

import numpy as np

from export.shared_format import SharedSubject
from tailor_tf.data.batches import central_window
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.task_pack import TailoredTask
from tailor_tf.records.workdir import Exports
from tests.builders import random_architecture, random_student

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
        preprocessing = Preprocessing(
            size, tuple(mean), tuple(std), flip=False, crop_padding=0, resize=size + margin
        )
        tasks[name] = TailoredTask(TaskInfo(name, classes, preprocessing), student)
    return tasks


def stranger(task, universal):
    """A task with the architecture and classes of another one, over another universal network."""
    architecture, rng = task.student.architecture, np.random.default_rng(98)
    student = random_student(universal, architecture, rng, task.info.num_classes)
    return TailoredTask(task.info, student)


def subject(tasks, folder):
    """Tasks to be published in a folder."""
    return SharedSubject(tasks, Exports(folder))


def pixels(task, count=6):
    """Noise as a task's images: uint8 `[count, resize, resize, 3]`."""
    side = task.info.preprocessing.resize
    return np.random.default_rng(9).integers(0, 256, (count, side, side, 3), np.uint8)


def own_logits(task, images):
    """Answers of the task's student itself, in NumPy's reading of the preprocessing."""
    preprocessing = task.info.preprocessing
    window = central_window(images, preprocessing.image_size) / 255.0
    normalised = ((window - preprocessing.mean) / preprocessing.std).astype("float32")
    return task.student.model(normalised, training=False)["logits"].numpy()


def assert_same_logits(received, expected):
    """Holds logits to `LIMIT`."""
    error = np.abs(np.asarray(received) - expected).max()
    assert error <= LIMIT * max(1.0, np.abs(expected).max())


def damaged(whole):
    """In place of `sharing.shared_network`: its network with an offset of every logit."""

    def network(student, universal):
        shared = whole(student, universal)
        shared.weights[-1].assign_add([0.01] * shared.output.shape[-1])
        return shared

    return network
