"""A format that the project does not have: Keras's own files, for one task and for many."""

import zipfile

import keras
import numpy as np

from export import metadata, parity
from export.format import Family, Format
from export.runtimes import Runtime, normaliser
from export.shared_format import SharedFormat
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact

INFO = TaskInfo(
    "animals",
    ("ant", "bee", "cow"),
    Preprocessing(8, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0),
)


def save(path, network, info):
    network.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("task.json", metadata.to_json(info))


def load(path, threads):
    with zipfile.ZipFile(path) as archive:
        info = metadata.from_json(archive.read("task.json").decode(), str(path))
    network = keras.models.load_model(path)
    return Runtime(
        info,
        normaliser(info.preprocessing),
        lambda images: np.asarray(network(images, training=False)),
    )


class Pretend(Format):
    """Keras's own files, as a format that the project does not have."""

    name = "pretend"
    file_name = "network.keras"
    limits = parity.FLOAT32

    def write(self, path, subject):
        save(path, subject.folded, subject.info)


class SharedPretend(SharedFormat):
    """A folder of such files."""

    name = "pretend"

    def write(self, folder, subject):
        for name, task in subject.tasks.items():
            save(folder / f"{name}.keras", compact(task.student), task.info)

    def recognises(self, path):
        return path.is_dir() and any(path.glob("*.keras"))

    def load(self, path, threads):
        return {each.stem: load(each, threads) for each in sorted(path.glob("*.keras"))}


FAMILY = Family(
    name="pretend",
    usage="a .keras file",
    formats=lambda options: [Pretend()],
    recognises=lambda path: path.suffix == ".keras",
    load=load,
    modules=(),
    shared=SharedPretend(),
)


def images_of(info):
    """A task of the same classes and preprocessing, with six images of noise in each split."""
    side, rng = info.preprocessing.resize, np.random.default_rng(0)
    labels = np.arange(6, dtype=np.int32) % info.num_classes
    splits = {
        name: Split(name, labels, rng.integers(0, 256, (6, side, side, 3), "u1"))
        for name in ("train", "validation", "test")
    }
    return Task(info, **splits)
