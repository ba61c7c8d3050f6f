"""Task packs: files with everything that is stored per task, all but the universal weights."""

import dataclasses
import hashlib
import os
from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from tailor_tf.backbones.universal import Universal
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.student import Student, build_student
from tailor_tf.network import weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import BlockGraph
from tailor_tf.support import names
from tailor_tf.support.errors import TailorError

FORMAT_VERSION = 2
_VERSION = "task_pack"
_POOLS = "pools_of_proxies"  # of networks without ReLUs at their nodes; missing in earlier packs
_SAME = "same"  # padding of such pools, see `blocks.max_pool`; it was -inf on every side before


class TaskPackError(TailorError):
    """The task pack cannot be read, was altered, or is for another universal network."""


@dataclasses.dataclass(frozen=True, eq=False)
class TailoredTask:
    """A task and its student, ready to predict: the content of a task pack.

    Attributes:
        info: the task's name, classes and preprocessing.
        student: the network; it shares the universal network's kernels in memory.
    """

    info: TaskInfo
    student: Student


@dataclasses.dataclass(frozen=True)
class PackHeader:
    """Header of a task pack: its content without the weights.

    Attributes:
        info: the task's name, classes and preprocessing.
        architecture: the paths of the student.
        backbone: settings of the backbone of the universal network that the pack belongs to.
        fingerprint: SHA-256 of that network's weights.
    """

    info: TaskInfo
    architecture: Architecture
    backbone: Mapping[str, Any]
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            **self.info.as_dict(),
            "architecture": self.architecture.as_dict(),
            "universal": {"backbone": dict(self.backbone), "fingerprint": self.fingerprint},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "PackHeader":
        """The inverse of `as_dict`; further entries are ignored.

        Raises:
            KeyError, TypeError, ValueError: an entry is missing or not valid.
        """
        universal = data["universal"]
        if type(universal["backbone"]) is not dict or type(universal["fingerprint"]) is not str:
            raise TypeError("the universal network is not described by settings and a text")
        return cls(
            TaskInfo.from_dict(data),
            Architecture.from_dict(data["architecture"]),
            universal["backbone"],
            universal["fingerprint"],
        )


def save_task_pack(path: str | os.PathLike, task: TailoredTask) -> None:
    """Writes a task pack: gates, proxies, statistics, head and classifier, and the header."""
    student = task.student
    graph, fingerprint = student.universal.graph, student.universal.fingerprint
    info = dataclasses.replace(task.info, pack=None)  # which names this file once it is written
    header = PackHeader(info, student.architecture, graph.config, fingerprint)
    pools = {} if graph.rectified else {_POOLS: _SAME}
    metadata = {_VERSION: FORMAT_VERSION, **pools, **header.as_dict()}
    tensors = {key: variable.numpy() for key, variable in student.task_weights().items()}
    weights.write(path, tensors, weights.sealed(tensors, metadata))


def load_task_pack(
    path: str | os.PathLike, universal: Universal, name: str | None = None
) -> TailoredTask:
    """Reads a task pack and builds its student over the universal network.

    Args:
        path: the task pack.
        universal: the universal network that the pack was made for.
        name: another name for the task; the name in the pack by default, which is checked.

    Raises:
        names.TaskNameError: the name in the pack cannot be the name of a task.
        TaskPackError: the file is not a task pack of this version, was altered, belongs to
            another universal network, or was trained with other pools in its proxies.
        weights.WeightsError: the file cannot be read, or a tensor is missing.
    """
    tensors, metadata = weights.read(path)
    header = _header(path, metadata)
    info = _identified(path, header.info, name)
    _check_whole(path, tensors, metadata)
    _check_universal(path, header, universal)
    _check_sizes(path, header, tensors, universal.graph)
    _check_pools(path, metadata.get(_POOLS), header.architecture, universal.graph)
    student = build_student(universal, header.architecture, header.info.num_classes)
    own = student.own_keys
    _check_owners(path, tensors, own)
    weights.assign(student.model, tensors, origin=os.fspath(path), wanted=own.__contains__)
    return TailoredTask(info, student)


def _identified(path: str | os.PathLike, info: TaskInfo, name: str | None) -> TaskInfo:
    """The task of a pack under its name, with the SHA-256 of the pack's file."""
    with open(path, "rb") as file:
        pack = hashlib.file_digest(file, "sha256").hexdigest()
    name = names.checked(info.name) if name is None else name
    return dataclasses.replace(info, name=name, pack=pack)


def read_header(path: str | os.PathLike) -> PackHeader:
    """Reads the header of a task pack, without a check of the checksum and of the task's name.

    Raises:
        TaskPackError: the file is not a task pack of this version.
        weights.WeightsError: the file cannot be read.
    """
    return _header(path, weights.read_metadata(path))


def _header(path: str | os.PathLike, metadata: Mapping[str, Any]) -> PackHeader:
    if metadata.get(_VERSION) != FORMAT_VERSION:
        raise TaskPackError(
            f"{os.fspath(path)} is no task pack of version {FORMAT_VERSION}; expected a file that "
            "pipelines.tailor wrote."
        )
    try:
        return PackHeader.from_dict(metadata)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TaskPackError(
            f"{os.fspath(path)} is damaged: a field of its header is missing or not valid "
            f"({error}). Use the file that pipelines.tailor wrote, or run it again to write a new "
            "one."
        ) from error


def _check_whole(path: Any, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    try:
        weights.check_whole(path, tensors, metadata)
    except weights.AlteredError as error:
        raise TaskPackError(
            f"{error} Use the file that pipelines.tailor wrote, or run it again to write a new one."
        ) from error


def _check_owners(path: Any, tensors: Mapping[str, np.ndarray], own: Container[str]) -> None:
    """Refuses a pack with weights that belong to the universal network.

    Earlier versions of this project wrote such packs: a head's kernels were trained per task.
    """
    foreign = next((key for key in tensors if key not in own), None)
    if foreign:
        raise TaskPackError(
            f"{os.fspath(path)} has {foreign} of its own, which belongs to the universal network "
            "or to no layer of it: an earlier version of this program wrote the pack, or it is "
            "damaged. Tailor the task again."
        )


def _check_universal(path: Any, header: PackHeader, universal: Universal) -> None:
    config = dict(universal.graph.config)
    # The same weights can also be a network for other image sizes, or with other blocks.
    if (header.backbone, header.fingerprint) != (config, universal.fingerprint):
        raise TaskPackError(
            f"{os.fspath(path)} belongs to the universal network {header.backbone} with "
            f"fingerprint {header.fingerprint[:16]}; received {config} with fingerprint "
            f"{universal.fingerprint[:16]}. Load it with the network that it was trained on."
        )


def _check_sizes(
    path: Any, header: PackHeader, tensors: Mapping[str, np.ndarray], graph: BlockGraph
) -> None:
    """Refuses a header whose network is not the one that the tensors belong to.

    A few digits can declare layers of many gigabytes, which would be made before they are compared
    with the tensors.
    """
    info, architecture = header.info, header.architecture
    largest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    side = graph.input_shape[0]
    expected = {
        "blocks": (architecture.num_blocks == graph.num_blocks, graph.num_blocks),
        "channels of the head": (architecture.head_channels <= largest, f"{largest} at most"),
        "pixels of the input": (info.preprocessing.image_size == side, side),
    }
    for what, (fits, wanted) in expected.items():
        if not fits:
            raise TaskPackError(
                f"{os.fspath(path)} is damaged: its header and its weights disagree about the "
                f"{what}; expected {wanted}. Use the file that pipelines.tailor wrote."
            )


def _check_pools(
    path: Any, pools: str | None, architecture: Architecture, graph: BlockGraph
) -> None:
    """Refuses a pack of an earlier version of this project whose proxies pooled differently."""
    if graph.rectified or pools == _SAME:
        return
    sides = [[graph.node_shape(n)[0] for n in (p.source, p.target)] for p in architecture.proxies]
    if any(before > after for before, after in sides):
        raise TaskPackError(
            f"{os.fspath(path)} was trained with max-pools in its proxies that were padded with "
            f"-inf; expected the padding {_SAME!r}, which int8 can express. Run pipelines.tailor "
            "again, in a new working directory, to write a new pack."
        )
