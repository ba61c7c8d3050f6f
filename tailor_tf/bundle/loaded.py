"""Many tasks over one universal network, ready to answer."""

import os
import threading
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.backbones.universal import Universal
from tailor_tf.bundle.manifest import BundleError, Entry, Manifest
from tailor_tf.bundle.sharing import shared_network
from tailor_tf.bundle.store import BundleStore, read_pack
from tailor_tf.data.batches import evaluation_input
from tailor_tf.data.images import resize_and_crop
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.method.task_pack import Tailored
from tailor_tf.network.architecture import Architecture


class Prediction(NamedTuple):
    """What the images of one request are.

    Attributes:
        class_names: the likeliest class of each image, str `[batch]`.
        scores: float32 `[batch, classes]`, each row sums to one; classes as in
            `bundle.tasks[name].classes`.
        logits: float32 `[batch, classes]`.
    """

    class_names: np.ndarray
    scores: np.ndarray
    logits: np.ndarray


class ServedTask(NamedTuple):
    """A task that a bundle answers for.

    Attributes:
        name: its name in the bundle.
        classes: class names, in the order of the logits.
        preprocessing: what images go through before the network.
        architecture: the paths of its student.
        network: functional, from normalised images to logits, folded around the universal kernels,
            which are those of all tasks.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    architecture: Architecture
    network: keras.Model


class Bundle:
    """The tasks of a bundle's directory, loaded once; the universal kernels are in memory once.

    Any number of threads may call every method. Tasks come and go while others answer: a request
    uses the tasks that are there when it starts, and one that is under way when its task is removed
    is still answered.

    `add` and `remove` change the directory and this object alike, and what they did is there after
    a restart. What another process changes in the directory, such as `pipelines.bundle`, is taken
    up by `refresh`, and not before.

    Args:
        path: the directory; `create` and `pipelines.bundle` make one.

    Raises:
        BundleError: there is no bundle, or a file in it is missing or is not what was stored.

    Example:

    >>> bundle = Bundle("runs/bundle")  # doctest: +SKIP
    >>> bundle.predict("flowers", images).class_names  # doctest: +SKIP
    array(['rose', 'tulip'], dtype='<U5')
    """

    def __init__(self, path: str | os.PathLike):
        self._store = BundleStore(path)
        self._changing = threading.Lock()  # requests take none: `_loaded` is replaced as a whole
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
            universal: the network; it is stored once.
            task_packs: files that pipelines.tailor wrote, of tasks over it; at least one.

        Raises:
            TailorError: the directory is taken, a pack is damaged or belongs to another universal
                network, or two tasks have one name.
        """
        BundleStore.create(path, universal, [read_pack(pack, universal) for pack in task_packs])
        return cls(path)

    @property
    def tasks(self) -> Mapping[str, ServedTask]:
        """The tasks by name, as they are now."""
        loaded = self._loaded
        return types.MappingProxyType({name: known.task for name, known in loaded.items()})

    def predict(self, task: str, images: Any) -> Prediction:
        """Classifies images.

        Args:
            task: its name.
            images: uint8 `[batch, height, width, 3]`, levels 0 to 255, red, green, blue; of any one
                size. The shorter side is scaled and the centre cut out as the task was trained.

        Raises:
            BundleError: there is no such task, or the images are something else.
        """
        loaded = self._loaded
        if task not in loaded:
            raise BundleError(f"There is no task {task!r}; there are {', '.join(loaded)}.")
        return loaded[task].predict(_checked(images))

    def add(self, task_pack: str | os.PathLike, name: str | None = None) -> str:
        """Adds a task and returns its name; it answers its first request as fast as later ones.

        Args:
            task_pack: the file that pipelines.tailor wrote.
            name: the task's name in the bundle; that in the pack by default.

        Raises:
            TailorError: the pack is damaged or belongs to another universal network, or the bundle
                has a task of that name; nothing is changed.
            locks.InUseError: another process is changing the bundle.
        """
        with self._changing:
            pack = read_pack(task_pack, self.universal, name)
            added = _Loaded(pack.tailored, self.universal, Entry.of(pack.content))
            self._store.add(pack)
            self._loaded = {**self._loaded, pack.tailored.name: added}
        return pack.tailored.name

    def remove(self, task: str) -> None:
        """Removes a task.

        Raises:
            BundleError: there is no such task, or no other one; nothing is changed.
            locks.InUseError: another process is changing the bundle.
        """
        with self._changing:
            self._store.remove(task)
            self._loaded = {name: kept for name, kept in self._loaded.items() if name != task}

    def refresh(self) -> None:
        """Takes up what the directory holds now; tasks that are the same stay as they are.

        Raises:
            BundleError: the bundle is gone, damaged, or has another universal network; this object
                goes on with what it has.
        """
        with self._changing:
            self._loaded = self._store.consistently(self._follow)

    def _follow(self, manifest: Manifest) -> "dict[str, _Loaded]":
        if manifest.fingerprint != self.universal.fingerprint:
            raise BundleError(
                f"{self._store.path} has another universal network now; make a new Bundle of it."
            )
        return {name: self._load(name, entry) for name, entry in manifest.tasks.items()}

    def _load(self, name: str, entry: Entry) -> "_Loaded":
        known = self._loaded.get(name)
        if known and known.entry == entry:
            return known
        tailored = self._store.task(name, entry, self.universal)
        return _Loaded(tailored, self.universal, entry)


class _Loaded:
    """A task whose graph is traced and has answered once.

    Args:
        tailored: the task; what is kept of it takes less memory than its student.
        universal: the network whose kernels it shares.
        entry: what it was loaded from.
    """

    def __init__(self, tailored: Tailored, universal: Universal, entry: Entry):
        network = shared_network(tailored, universal)
        preprocessing, architecture = tailored.preprocessing, tailored.architecture
        self.task = ServedTask(
            tailored.name, tailored.classes, preprocessing, architecture, network
        )
        self.entry = entry
        self._classes = np.array(tailored.classes)
        self._answer = _answers(self.task)
        side = tailored.preprocessing.resize
        for height in (side, side + 1):  # as it is, and scaled
            self._answer(tf.zeros([1, height, side, 3], tf.uint8))

    def predict(self, images: np.ndarray) -> Prediction:
        scores, logits = (values.numpy() for values in self._answer(tf.constant(images)))
        return Prediction(self._classes[logits.argmax(-1)], scores, logits)


def _answers(task: ServedTask) -> Any:
    """From uint8 images of one size to scores and logits, traced once for all sizes and batches."""
    network, preprocessing = task.network, task.preprocessing

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def answer(images):
        square = resize_and_crop(images, preprocessing.resize)
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
