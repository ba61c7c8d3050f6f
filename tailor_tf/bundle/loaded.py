"""A bundle in memory: many tasks over one universal network, ready to predict."""

import os
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.backbones.universal import Universal
from tailor_tf.bundle.manifest import BundleError, Entry, Manifest
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.sharing import shared_network
from tailor_tf.bundle.store import BundleStore
from tailor_tf.data.batches import evaluation_input
from tailor_tf.data.decoding import make_square
from tailor_tf.data.requests import most_images
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.task_pack import TailoredTask
from tailor_tf.network.architecture import Architecture
from tailor_tf.support import limits


class Prediction(NamedTuple):
    """Prediction for the images of one request.

    Attributes:
        class_names: the most probable class of each image, str `[batch]`.
        scores: softmax of the logits, float32 `[batch, classes]`; the order of the classes is
            `bundle.tasks[name].info.classes`.
        logits: float32 `[batch, classes]`.
    """

    class_names: np.ndarray
    scores: np.ndarray
    logits: np.ndarray


class ServedTask(NamedTuple):
    """A task of a bundle in memory.

    Attributes:
        info: the task's name in the bundle, classes and preprocessing.
        architecture: the paths of its student.
        network: functional, from normalised images `[batch, height, width, 3]` to logits
            `[batch, classes]`; folded, but with the universal kernels that all tasks share.
    """

    info: TaskInfo
    architecture: Architecture
    network: keras.Model


class Bundle:
    """The tasks of a bundle's directory in memory, with one copy of the universal kernels.

    Any number of threads may call all methods. Tasks can be added and removed while other tasks
    predict. A request uses the tasks at the time it starts; if its task is removed meanwhile, it is
    still answered.

    `add` and `remove` change both the directory and this object, so that a restart finds the same
    tasks. Changes of the directory by another process, such as `pipelines.bundle`, become visible
    only with `refresh`.

    Args:
        path: the directory; `create` and `pipelines.bundle` make one.

    Raises:
        BundleError: there is no bundle, or one of its files is missing or damaged.

    Example:

    >>> bundle = Bundle("runs/bundle")  # doctest: +SKIP
    >>> bundle.predict("flowers", images).class_names  # doctest: +SKIP
    array(['rose', 'tulip'], dtype='<U5')
    """

    def __init__(self, path: str | os.PathLike):
        self._store = BundleStore(path)
        self._changing = threading.Lock()  # not for requests: `_loaded` is replaced as a whole
        self._loaded: Mapping[str, _Loaded] = {}
        self.universal = self._store.universal()
        self.refresh()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        universal: Universal,
        task_packs: Sequence[str | os.PathLike],
    ) -> "Bundle":
        """Makes a bundle's directory and loads it.

        Args:
            path: the directory, new or empty.
            universal: the universal network; it is stored once.
            task_packs: task packs over this universal network; at least one.

        Raises:
            TailorError: the directory is not empty, a pack is damaged or belongs to another
                universal network, or two tasks have the same name.
        """
        BundleStore.create(path, universal, [read_pack(pack, universal) for pack in task_packs])
        return cls(path)

    @property
    def tasks(self) -> Mapping[str, ServedTask]:
        """The tasks of this object now, by name."""
        loaded = self._loaded
        return types.MappingProxyType({name: known.task for name, known in loaded.items()})

    def predict(self, task: str, images: Any) -> Prediction:
        """Classifies images.

        Args:
            task: name of the task.
            images: uint8 `[batch, height, width, 3]`, levels 0 to 255, red, green, blue; of any
                size. They are scaled by their shorter side and the centre is cut out, as in
                training. Many images are answered in parts, so that memory is bounded.

        Raises:
            BundleError: there is no such task, the images have another type or shape or too many
                pixels, or scores are not finite.
        """
        loaded = self._loaded
        if task not in loaded:
            raise BundleError(f"There is no task {task!r}; there are {', '.join(loaded)}.")
        return loaded[task].predict(_checked(images))

    def add(self, task_pack: str | os.PathLike, name: str | None = None) -> str:
        """Adds a task; its network is compiled here, so that its first request is not slow.

        Args:
            task_pack: the file that pipelines.tailor wrote.
            name: the task's name in the bundle; the name in the pack by default.

        Returns:
            The task's name in the bundle.

        Raises:
            TailorError: the pack is damaged or belongs to another universal network, or the bundle
                has a task with this name; nothing is changed.
            locks.InUseError: another process is changing the bundle.
        """
        with self._changing:
            pack = read_pack(task_pack, self.universal, name)
            added = _Loaded(pack.task, self.universal, Entry.of(pack.content))
            self._store.add(pack)
            self._loaded = {**self._loaded, pack.name: added}
        return pack.name

    def remove(self, task: str) -> None:
        """Removes a task.

        Raises:
            BundleError: there is no such task, or it is the last one; nothing is changed.
            locks.InUseError: another process is changing the bundle.
        """
        with self._changing:
            self._store.remove(task)
            self._loaded = {name: kept for name, kept in self._loaded.items() if name != task}

    def refresh(self) -> None:
        """Loads the changes in the directory; tasks that did not change are not loaded again.

        Raises:
            BundleError: the bundle is missing, damaged, or has another universal network; this
                object keeps its tasks.
        """
        with self._changing:
            self._loaded = self._store.consistently(self._follow)

    def _follow(self, manifest: Manifest) -> "dict[str, _Loaded]":
        if manifest.fingerprint != self.universal.fingerprint:
            raise BundleError(
                f"{self._store.path} has another universal network now; make a new Bundle from it."
            )
        return {name: self._load(name, entry) for name, entry in manifest.tasks.items()}

    def _load(self, name: str, entry: Entry) -> "_Loaded":
        known = self._loaded.get(name)
        if known and known.entry == entry:
            return known
        return _Loaded(self._store.task(name, entry, self.universal), self.universal, entry)


class _Loaded:
    """A task in memory, with a compiled graph that has already predicted once.

    Args:
        task: the task; its student is not kept, because the folded network needs less memory.
        universal: the network whose kernels it shares.
        entry: the file that it was loaded from.
    """

    def __init__(self, task: TailoredTask, universal: Universal, entry: Entry):
        network = shared_network(task.student, universal)
        self.task = ServedTask(task.info, task.student.architecture, network)
        self.entry = entry
        self._classes = np.array(task.info.classes)
        self._answer = _answers(self.task)
        side = task.info.preprocessing.resize
        for height in (side, side + 1):  # without and with scaling
            self._answer(tf.zeros([1, height, side, 3], tf.uint8))

    def predict(self, images: np.ndarray) -> Prediction:
        parts = [self._answer(tf.constant(part)) for part in self._parts(images)]
        scores, logits = (np.concatenate(values) for values in zip(*parts, strict=True))
        if not np.isfinite(logits).all():
            raise BundleError(f"{self.task.info.name} answers scores that are no finite numbers.")
        return Prediction(self._classes[logits.argmax(-1)], scores, logits)

    def _parts(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """The images in parts, each as large as memory allows for."""
        _, height, width, _ = images.shape
        most = int(most_images(height, width, self.task.info.preprocessing.square))
        if not most:
            raise BundleError(
                f"Received images of {height} x {width} pixels; expected at most "
                f"{limits.REQUEST_PIXELS:,} pixels, as they are and scaled to a square of "
                f"{self.task.info.preprocessing.resize}. Cut or scale them first."
            )
        for start in range(0, len(images), most):
            yield images[start : start + most]


def _answers(task: ServedTask) -> Any:
    """Function from uint8 images to scores and logits, traced once for all image sizes."""
    network, preprocessing = task.network, task.info.preprocessing

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def answer(images):
        square = make_square(images, preprocessing.square)
        logits = network(evaluation_input(square, preprocessing), training=False)
        return tf.nn.softmax(logits), logits

    return answer.get_concrete_function()


def _checked(images: Any) -> np.ndarray:
    images = np.asarray(images)
    shape = images.shape
    if images.dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        raise BundleError(
            f"Received images {images.dtype} {list(shape)}; expected uint8 [batch, height, width, "
            "3], levels 0 to 255, one image at least."
        )
    return images
