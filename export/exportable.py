"""What is exported: a finished run, or a task pack over its universal network."""

import dataclasses
import os
import pathlib

import keras

from export.metadata import Metadata
from tailor_tf.backbones.universal import Universal
from tailor_tf.method.compaction import compact
from tailor_tf.method.task_pack import load_task_pack
from tailor_tf.network import weights
from tailor_tf.network.graph import build_network
from tailor_tf.report import outcome
from tailor_tf.support.errors import TailorError
from tailor_tf.training.checkpoints import Checkpoints

TASK_PACK = "task_pack.safetensors"


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A tailored network, ready to be exported.

    Attributes:
        metadata: the task's name, its classes and preprocessing.
        network: functional, from normalised images to logits, of stock Keras layers.
        teacher: the same of the unpruned teacher, to compare with; `None` where it is not at hand.
    """

    metadata: Metadata
    network: keras.Model
    teacher: keras.Model | None = None


def from_task_pack(path: str | os.PathLike, universal: Universal) -> Source:
    """Reads a task pack.

    Raises:
        task_pack.TaskPackError: it belongs to another universal network.
        weights.WeightsError: it cannot be read.
    """
    tailored = load_task_pack(path, universal)
    metadata = Metadata(tailored.name, tailored.classes, tailored.preprocessing)
    return Source(metadata, compact(tailored.student, universal.graph, tailored.architecture))


def pack_of_run(workdir: str | os.PathLike) -> pathlib.Path:
    """The task pack that a finished run left in its working directory.

    Raises:
        TailorError: the run is not finished; names what is missing.
    """
    outcome.load(workdir)  # says which phase is missing
    pack = pathlib.Path(workdir) / TASK_PACK
    if not pack.exists():
        raise TailorError(f"{pack} is gone; the command that made the run writes it again.")
    return pack


def from_run(workdir: str | os.PathLike, universal: Universal) -> Source:
    """Reads what a finished run left in its working directory, its teacher included.

    Raises:
        TailorError: the run is not finished; names what is missing.
    """
    source = from_task_pack(pack_of_run(workdir), universal)
    checkpoint = pathlib.Path(workdir) / "checkpoints" / "teacher.safetensors"
    state = Checkpoints(checkpoint).read()
    if state is None:
        return source
    teacher = build_network(universal.graph, len(source.metadata.classes))
    weights.assign(teacher, state[0], origin=str(checkpoint))
    logits = keras.Model(teacher.input, teacher.output["logits"], name="teacher")
    return dataclasses.replace(source, teacher=logits)
