"""Task packs of a bundle: reading one to add it, and descriptions of those in the bundle."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

from tailor_tf.backbones.universal import Universal
from tailor_tf.bundle.manifest import BundleError
from tailor_tf.method.task_pack import PackHeader, TailoredTask, load_task_pack
from tailor_tf.support import files, names
from tailor_tf.support.text import aligned


@dataclasses.dataclass(frozen=True, eq=False)
class Pack:
    """A task pack that was read and belongs to the bundle's universal network.

    Attributes:
        content: the bytes of the file.
        task: the task, with its name in the bundle.
    """

    content: bytes
    task: TailoredTask

    @property
    def name(self) -> str:
        """The task's name in a bundle."""
        return self.task.info.name


@dataclasses.dataclass(frozen=True)
class StoredTask:
    """A task in a bundle's directory, without its weights.

    Attributes:
        header: the header of its task pack.
        bytes: size of its task pack.
    """

    header: PackHeader
    bytes: int


def read_pack(path: str | os.PathLike, universal: Universal, name: str | None = None) -> Pack:
    """Reads a task pack, to add it to a bundle.

    Args:
        path: the file.
        universal: the bundle's universal network.
        name: the task's name in the bundle; the name in the pack by default.

    Raises:
        task_pack.TaskPackError: the pack was altered or belongs to another universal network.
        weights.WeightsError: the file was cut short.
        names.TaskNameError: the name cannot be the name of a task.
        BundleError: the file was replaced while it was read.
        files.FileKindError: there is a folder, a pipe or a device; it is not opened.
        OSError: there is no such file.
    """
    files.check_file(path, follow=True)
    content = pathlib.Path(path).read_bytes()
    task = load_task_pack(path, universal, None if name is None else names.checked(name))
    if pathlib.Path(path).read_bytes() != content:
        raise BundleError(f"{os.fspath(path)} was replaced while it was read; try again.")
    return Pack(content, task)


def table(tasks: Mapping[str, StoredTask]) -> list[str]:
    """Lines of a Markdown table of the tasks in a bundle; `tasks` are by name."""
    rows = [["task", "classes", "universal blocks", "task pack (KB)"]]
    for name, task in tasks.items():
        blocks = ", ".join(map(str, task.header.architecture.universal_blocks)) or "none"
        rows.append([name, str(task.header.info.num_classes), blocks, f"{task.bytes / 1e3:,.0f}"])
    return aligned(rows)
