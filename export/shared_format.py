"""Formats of artifacts of many tasks over one universal network."""

import abc
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from export import shared_tasks
from export.runtimes import Runtime
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.task_pack import TailoredTask
from tailor_tf.records.workdir import Exports


@dataclasses.dataclass(frozen=True, eq=False)
class SharedSubject:
    """Tasks over one universal network: the material that a shared artifact is made of.

    Attributes:
        tasks: the tasks, by their names in the artifact.
        exports: folder of artifacts; the artifacts of each task alone lie there, too.
        precisions: precisions to make, for formats that have several.
    """

    tasks: Mapping[str, TailoredTask]
    exports: Exports
    precisions: Sequence[str] = ()


class SharedFormat(abc.ABC):
    """One artifact of many tasks over one universal network, whose kernels it holds once.

    Attributes:
        name: name of the family.
        needs_files: whether it is put together from the artifacts of each task alone.
        precisions: precisions to choose from; none where there is no choice.
        is_served: whether TensorFlow Serving is to find the artifact.
    """

    name: str
    needs_files: bool = False
    precisions: tuple[str, ...] = ()
    is_served: bool = False

    def folder(self, exports: Exports) -> pathlib.Path:
        """Folder of the artifact's versions."""
        return exports.shared(self.name)

    def require(self, subject: SharedSubject) -> None:
        """Refuses tasks that lack a file that the artifact needs, before anything is made.

        Raises:
            ArtifactError: names the task, and the command that makes the missing file.
        """
        del subject

    @abc.abstractmethod
    def write(self, folder: pathlib.Path, subject: SharedSubject) -> None:
        """Writes the artifact into an empty folder, which becomes its version.

        Raises:
            ArtifactError: the tasks cannot share an artifact of this format.
        """

    def compare(self, folder: pathlib.Path, subject: SharedSubject) -> None:
        """Loads the artifact and compares each task's answers with the answers of its own network.

        Raises:
            parity.ParityError: names the first task whose answers are off.
        """
        shared_tasks.verify(self.name, self.load(folder, 1), subject.tasks)

    @abc.abstractmethod
    def recognises(self, path: pathlib.Path) -> bool:
        """Whether a path looks like such an artifact."""

    def infos(self, version: pathlib.Path) -> Mapping[str, TaskInfo]:
        """The tasks of the artifact in the folder of a version, as it describes them, by name.

        Raises:
            ArtifactError: the artifact is damaged.
        """
        return {name: runtime.info for name, runtime in self.load(version, 1).items()}

    @abc.abstractmethod
    def load(self, path: pathlib.Path, threads: int) -> Mapping[str, Runtime]:
        """Loads the artifact; a runtime per task, by name.

        Raises:
            ArtifactError: the artifact is damaged or of another kind.
        """
