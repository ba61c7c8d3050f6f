"""A small universal network, task packs over it, and what their tasks answer without a bundle."""

import numpy as np

from tailor_tf import backbones
from tailor_tf.data import Preprocessing
from tailor_tf.data.batches import central_window
from tailor_tf.data.images import resize_and_crop
from tailor_tf.method.task_pack import Tailored, load_task_pack, save_task_pack
from tests.helpers import random_architecture, random_student, small_graph

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


def known(monkeypatch):
    """Makes the small network one that is found by its name, as those in bundles are."""
    monkeypatch.setitem(backbones.BACKBONES, "small", small_graph)


def write(folder, universal):
    """Writes the packs of `TASKS` over a universal network of 8-pixel images; paths by name."""
    rng = np.random.default_rng(11)
    paths = {name: folder / f"{name}.safetensors" for name in TASKS}
    for name, (classes, preprocessing) in TASKS.items():
        architecture = random_architecture(universal.graph.num_blocks, rng, 3)
        student = random_student(universal, architecture, rng, len(classes))
        tailored = Tailored(name, classes, preprocessing, architecture, student, universal)
        save_task_pack(paths[name], tailored)
    return paths


def alone(path, universal):
    """From uint8 images to logits by the task of a pack on its own, prepared in NumPy."""
    tailored = load_task_pack(path, universal)
    preprocessing = tailored.preprocessing

    def logits(images):
        square = np.array(resize_and_crop(images, preprocessing.resize))
        window = central_window(square, preprocessing.image_size)
        x = (window / 255 - preprocessing.mean) / preprocessing.std
        return np.array(tailored.student(x.astype("float32"), training=False)["logits"])

    return logits
