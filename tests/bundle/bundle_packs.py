"""A small universal network, task packs over it, and what their tasks answer without a bundle."""

import numpy as np

from tailor_tf.backbones.universal import Universal
from tailor_tf.data.batches import central_window
from tailor_tf.data.decoding import make_square
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.task_pack import TailoredTask, load_task_pack, save_task_pack
from tailor_tf.network.graph import build_network
from tailor_tf.support import locks
from tests.builders import random_architecture, random_student, randomise

TASKS = {
    "vehicles": (
        ("ship", "tram", "vélo"),
        Preprocessing(8, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25), flip=True, crop_padding=1),
    ),
    "birds": (
        ("crow", "emu", "owl", "rook", "swan"),
        Preprocessing(8, (0.1, 0.2, 0.3), (0.5, 0.4, 0.6), flip=False, crop_padding=0, resize=10),
    ),
    "signs": (
        ("stop", "yield"),
        Preprocessing(8, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3), flip=False, crop_padding=1),
    ),
}


def write(folder, universal):
    """Writes the packs of `TASKS` over a universal network of 8-pixel images; paths by name."""
    rng = np.random.default_rng(11)
    paths = {name: folder / f"{name}.safetensors" for name in TASKS}
    for name, (classes, preprocessing) in TASKS.items():
        architecture = random_architecture(universal.graph.num_blocks, rng, 3)
        student = random_student(universal, architecture, rng, len(classes))
        task = TailoredTask(TaskInfo(name, classes, preprocessing), student)
        save_task_pack(paths[name], task)
    return paths


def alone(path, universal):
    """From uint8 images to logits by the task of a pack on its own, prepared in NumPy."""
    task = load_task_pack(path, universal)
    preprocessing = task.info.preprocessing

    def logits(images):
        square = np.array(make_square(images, preprocessing.square))
        window = central_window(square, preprocessing.image_size)
        x = (window / 255 - preprocessing.mean) / preprocessing.std
        return np.array(task.student.model(x.astype("float32"), training=False)["logits"])

    return logits


def other_weights(universal):
    model = build_network(universal.graph, 7)
    return Universal(universal.graph, randomise(model, np.random.default_rng(99)))


def files(store):
    """What every file holds, and when it was written; the lock left out."""
    return {
        path.relative_to(store.path).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in store.path.rglob("*")
        if path.is_file() and path.name != locks.LOCK
    }


def packs_of(store):
    return sorted(path.name for path in (store.path / "packs").iterdir())
