"""Networks to export: of a finished run, or of a task pack over its universal network."""

import dataclasses
import os
import pathlib

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.method.task_pack import load_task_pack
from tailor_tf.network import weights
from tailor_tf.network.graph import build_network
from tailor_tf.records.phase import STUDENT, TEACHER
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import outcome
from tailor_tf.support import names
from tailor_tf.support.errors import TailorError
from tailor_tf.training.checkpoints import Checkpoints


@dataclasses.dataclass(frozen=True, eq=False)
class Exportable:
    """A tailored network, ready to be exported.

    Attributes:
        info: the task's name, classes and preprocessing.
        network: functional, from normalised images `[batch, height, width, 3]` to logits
            `[batch, classes]`, of stock Keras layers.
        teacher: the unpruned teacher, likewise, to compare with; `None` where it is not at hand.
    """

    info: TaskInfo
    network: keras.Model
    teacher: keras.Model | None = None


def from_task_pack(
    path: str | os.PathLike, universal: Universal, name: str | None = None
) -> Exportable:
    """Reads a task pack.

    Args:
        path: the file.
        universal: the universal network that it belongs to.
        name: another name for the task; the name in the pack by default.

    Raises:
        names.TaskNameError: the name cannot be the name of a task.
        task_pack.TaskPackError: it belongs to another universal network.
        weights.WeightsError: it cannot be read.
    """
    task = load_task_pack(path, universal, None if name is None else names.checked(name))
    return Exportable(task.info, compact(task.student))


def pack_of_run(workdir: Workdir) -> pathlib.Path:
    """Path of the task pack that a finished run left in its working directory.

    Raises:
        TailorError: the run is not finished; names the missing file.
    """
    outcome.load(workdir)  # says which phase is missing
    if not workdir.task_pack.exists():
        raise TailorError(
            f"{workdir.task_pack} is gone; the command that made the run writes it again."
        )
    return workdir.task_pack


def from_run(workdir: Workdir, universal: Universal, name: str | None = None) -> Exportable:
    """Reads the result of a finished run, its teacher included.

    Args:
        workdir: the run's working directory.
        universal: the universal network that it tailored.
        name: another name for the task; the name in its pack by default.

    Raises:
        TailorError: the run is not finished; names the missing file.
        names.TaskNameError: the name cannot be the name of a task.
    """
    exportable = from_task_pack(pack_of_run(workdir), universal, name)
    teacher = _teacher(workdir, universal, exportable.info.num_classes)
    return dataclasses.replace(exportable, teacher=teacher)


def _teacher(workdir: Workdir, universal: Universal, num_classes: int) -> keras.Model | None:
    """The teacher of a run, from images to logits; `None` where its checkpoint is gone."""
    checkpoint = workdir.checkpoint(TEACHER)
    state = Checkpoints(checkpoint).read()
    if state is None:
        return None
    tensors, _ = state
    end = Records(workdir).read_phase(STUDENT).architecture
    teacher = build_network(
        universal.graph, num_classes, depth=end.depth, head_channels=end.head_channels
    )
    weights.assign(teacher, tensors, origin=str(checkpoint))
    return keras.Model(teacher.input, teacher.output["logits"], name="teacher")
