"""Families of formats, which the registry `formats` holds, and formats of artifacts of one task.

A family is a file format, such as TFLite. It has one format per artifact that it makes of a task,
such as TFLite in int8, and perhaps one shared format, for one artifact of many tasks.
"""

import abc
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np

from export.parity import Limits, Parity
from export.runtimes import Runtime
from export.shared_format import SharedFormat
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.folding import fold
from tailor_tf.support import extras

Compare = Callable[[pathlib.Path], Parity]  # of an artifact with its network


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtifactOptions:
    """Options that formats follow; `options.Options` has those of the whole export, too.

    Attributes:
        precisions: precisions of formats that have several.
        integer_io: whether images and logits of int8 files are int8, too.
        max_accuracy_drop: percentage points of accuracy that integer precisions may lose. Where
            "int8" loses more, it is trained with quantisation.
        sparsity: share of weights that become zero in further files, 0..1; `None` for no such
            files.
        clusters: distinct values per kernel in further files; `None` for no such files.
        optimize_epochs: passes over the training images for each of these trainings.
    """

    precisions: tuple[str, ...] = ()
    integer_io: bool = False
    max_accuracy_drop: float = 0.5
    sparsity: float | None = None
    clusters: int | None = None
    optimize_epochs: int = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A network and its task: the material that artifacts are made of.

    Attributes:
        network: functional, from normalised images to logits, of stock Keras layers.
        task: the images, prepared as the network expects them.
        keeps_kernels: whether universal kernels are to stay recognisable in formats that let tasks
            share them; not for a teacher, whose kernels are all its own.
    """

    network: keras.Model
    task: Task
    keeps_kernels: bool = True

    @property
    def info(self) -> TaskInfo:
        """The task's name, classes and preprocessing."""
        return self.task.info

    @functools.cached_property
    def folded(self) -> keras.Model:
        """The network with everything folded into kernels and biases, as fast as it can be."""
        return fold(self.network)

    @property
    def split(self) -> Split:
        """Images to compare artifacts on: test images, or validation images where labels of test
        images are withheld.
        """
        return self.task.test or self.task.validation


def first_images(split: Split, count: int | None = None) -> np.ndarray:
    """The first images of a split, all by default: uint8 `[count, height, width, 3]`."""
    return np.asarray(split.images[np.arange(len(split))[:count]])


@dataclasses.dataclass(frozen=True)
class QuantisationAware:
    """Result of training an artifact with quantisation: accuracies on validation images, 0..1.

    Attributes:
        expected: the Keras model's.
        before: the artifact's before the training.
        after: and after it; the more accurate one was kept.
    """

    expected: float
    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class SelectiveQuantisation:
    """Layers of an int8 artifact that stayed float: accuracies on validation images, 0..1.

    Attributes:
        expected: the Keras model's.
        before: the artifact's with all layers in int8.
        after: and with these layers in float.
        layers: their names in the folded network.
    """

    expected: float
    before: float
    after: float
    layers: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Improvement:
    """What was done for an artifact that was too far from its network.

    Attributes:
        selective: its layers that stayed float, if there are any in the artifact that was kept.
        trained: result of its training with quantisation, if it had one.
    """

    selective: SelectiveQuantisation | None = None
    trained: QuantisationAware | None = None


class Format(abc.ABC):
    """One kind of artifact of a task, such as TFLite in int8.

    Attributes:
        name: name of the artifact in records and tables, such as "tflite int8".
        file_name: name of the file or folder, such as "int8.tflite".
        limits: how far an artifact may be from its network.
        is_served: whether the artifact is published for TensorFlow Serving instead of beside the
            files; one format of an export at most.
    """

    name: str
    file_name: str
    limits: Limits
    is_served: bool = False

    @abc.abstractmethod
    def write(self, path: pathlib.Path, subject: Subject) -> None:
        """Writes an artifact to a path that does not exist yet.

        Raises:
            ArtifactError: the format cannot express the network.
        """

    def improve(self, path: pathlib.Path, subject: Subject, compare: Compare) -> Improvement:
        """Makes an artifact anew that is too far from its network, if the format knows how.

        Args:
            path: the artifact.
            subject: the material that it was made of.
            compare: compares an artifact with the network on validation images, which alone may
                decide: test images are there to report on.
        """
        del path, subject, compare
        return Improvement()

    def complete(self, path: pathlib.Path, subject: Subject) -> None:
        """Adds to an artifact, when it was compared and measured, the parts that are for servers.

        Args:
            path: the artifact.
            subject: the material that it was made of.
        """
        del path, subject


@dataclasses.dataclass(frozen=True)
class Family:
    """A file format, registered in `formats.FAMILIES` under its name.

    Attributes:
        name: name of the format, as people choose it.
        usage: how an artifact is recognised, for error messages and the help of flags.
        formats: the artifacts that it makes of a task; refuses options that it cannot have.
        recognises: whether a path that exists looks like an artifact of one task.
        load: loads such an artifact to run with a number of threads.
        modules: modules that its runtime imports; measurements of memory leave them out.
        writer_modules: modules that writing its artifacts imports besides these.
        precisions: precisions to choose from; none where there is no choice.
        has_threads: whether its runtime has a number of threads of its own.
        shared: one artifact of many tasks, where the format can have it.
        describe: reads the task of such an artifact without loading it, where the format can.
    """

    name: str
    usage: str
    formats: Callable[[ArtifactOptions], Sequence[Format]]
    recognises: Callable[[pathlib.Path], bool]
    load: Callable[[pathlib.Path, int], Runtime]
    modules: tuple[str, ...]
    writer_modules: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    has_threads: bool = True
    shared: SharedFormat | None = None
    describe: Callable[[pathlib.Path], TaskInfo] | None = None

    def info(self, path: pathlib.Path) -> TaskInfo:
        """The task of an artifact, as the artifact describes it.

        Raises:
            ArtifactError: the artifact is damaged.
            extras.MissingPackageError: the packages of the format are not installed.
        """
        extras.require(*self.modules)
        return self.describe(path) if self.describe else self.load(path, 1).info
