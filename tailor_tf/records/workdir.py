"""Paths of all files of a run; no other module spells a file name."""

import dataclasses
import pathlib
import shutil
from collections.abc import Collection, Iterator

from tailor_tf.records.phase import Phase
from tailor_tf.support import files, locks
from tailor_tf.support.errors import TailorError

RUN = "run"
SELECTION = "selection"
LATENCIES = "latencies"
EXAMPLES = "examples"
RECORDS = (RUN, SELECTION, LATENCIES, EXAMPLES)  # records that do not belong to a phase

SUMMARY = "summary.md"  # in the folder of an export's version


@dataclasses.dataclass(frozen=True)
class _Folder:
    path: pathlib.Path

    def __post_init__(self):
        object.__setattr__(self, "path", pathlib.Path(self.path))

    def __str__(self) -> str:
        return str(self.path)


class Exports(_Folder):
    """Folder of exported artifacts: of single tasks, and of many tasks together.

    Attributes:
        path: the folder; a string is accepted, too.
    """

    def files(self, task: str) -> pathlib.Path:
        """Folder of the versions of a task's TFLite and ONNX files, with record and summary."""
        return self.path / "files" / task

    def all_files(self) -> list[pathlib.Path]:
        """The folders of `files`, of all tasks that there are, sorted."""
        return sorted((self.path / "files").glob("*"))

    @property
    def serving(self) -> pathlib.Path:
        """Folder of SavedModels, each in versions, and of TensorFlow Serving's configurations."""
        return self.path / "serving"

    def shared(self, name: str) -> pathlib.Path:
        """Folder of the versions of the files of many tasks in one format."""
        return self.path / name

    def summaries(self) -> list[pathlib.Path]:
        """The summary files of all versions of all tasks' artifacts, sorted."""
        return sorted((self.path / "files").glob(f"*/*/{SUMMARY}"))


class Workdir(_Folder):
    """Working directory of a run.

    Attributes:
        path: the directory, which need not exist; a string is accepted, too.
    """

    @property
    def flags(self) -> pathlib.Path:
        """File with the flags of the last start, as absl's `--flagfile` reads them."""
        return self.path / "flags.txt"

    @property
    def task_pack(self) -> pathlib.Path:
        """The task pack: the result of the run, with all weights that are stored per task."""
        return self.path / "task_pack.safetensors"

    @property
    def records(self) -> pathlib.Path:
        """Folder of the records."""
        return self.path / "records"

    @property
    def checkpoints(self) -> pathlib.Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    def record(self, name: str) -> pathlib.Path:
        """File of the record with this name."""
        return self.records / f"{name}.json"

    def checkpoint(self, phase: Phase) -> pathlib.Path:
        """Newest checkpoint of a phase; the previous and the best one lie beside it."""
        return self.checkpoints / f"{phase.name}.safetensors"

    @property
    def all_logs(self) -> pathlib.Path:
        """Folder of the TensorBoard logs of all phases."""
        return self.path / "logs"

    def logs(self, phase: Phase) -> pathlib.Path:
        """Folder of a phase's TensorBoard logs."""
        return self.all_logs / phase.name

    @property
    def report(self) -> pathlib.Path:
        """Folder of the report."""
        return self.path / "report"

    @property
    def exports(self) -> Exports:
        """Folder of the artifacts of this run's task."""
        return Exports(self.path / "exports")

    @property
    def predictions(self) -> pathlib.Path:
        """File of predictions for test images without labels, in the decathlon's format."""
        return self.path / "predictions.json"

    @property
    def output(self) -> pathlib.Path:
        """File with the output of the run's program, if several runs were started together."""
        return self.path / "output.txt"

    def phases(self) -> list[Phase]:
        """The phases that have a record, sorted by name."""
        names = sorted(path.stem for path in self.records.glob("*.json"))
        found = [_phase(name) for name in names]
        return [phase for phase in found if phase is not None]

    def check(self) -> None:
        """Refuses links, pipes and devices in the place of files and folders of a run.

        A run writes, empties and removes them; a link would lead it to files of other programs.

        Raises:
            files.FileKindError: names the first one.
        """
        for folder in (self.report, self.exports.path, *self._folders_of_phases()):
            files.check_folder(folder)
        own = (self.flags, self.task_pack, self.predictions, self.output, self.path / locks.LOCK)
        for path in (*own, *map(self.record, RECORDS)):
            files.check_file(path)
        for path in self._files_of_phases():
            if _phase_of(path) and path.parent != self.all_logs:
                files.check_file(path)

    def forget(self, kinds: Collection[str]) -> None:
        """Removes records, checkpoints and logs of all phases of these kinds."""
        for path in self._files_of_phases():
            phase = _phase_of(path)
            if phase and phase.kind in kinds:
                shutil.rmtree(path) if files.is_folder(path) else path.unlink()

    def forget_result(self) -> None:
        """Removes the result of a run: the record of the selection and the task pack."""
        for path in (self.record(SELECTION), self.task_pack):
            path.unlink(missing_ok=True)

    def _files_of_phases(self) -> Iterator[pathlib.Path]:
        for folder in self._folders_of_phases():
            files.check_folder(folder)
            yield from sorted(folder.iterdir()) if folder.exists() else ()

    def _folders_of_phases(self) -> tuple[pathlib.Path, ...]:
        return self.records, self.checkpoints, self.all_logs


def _phase_of(path: pathlib.Path) -> Phase | None:
    """The phase that a file belongs to, such as a checkpoint or an unfinished file of it."""
    return _phase(path.name.lstrip(".").partition(".")[0])


def _phase(name: str) -> Phase | None:
    """The phase with this name; `None` for other records, and for files of other programs."""
    try:
        return None if name in RECORDS else Phase.parse(name)
    except TailorError:
        return None


class SourceWorkdir(_Folder):
    """Working directory of a pre-training.

    Attributes:
        path: the directory, which need not exist; a string is accepted, too.
    """

    def check(self) -> None:
        """Refuses links, pipes and devices in the place of its files and folders.

        Raises:
            files.FileKindError: names the first one.
        """
        files.check_folder(Workdir(self.path).all_logs)
        for path in (self.universal, self.record, self.checkpoint, self.path / locks.LOCK):
            files.check_file(path)

    @property
    def universal(self) -> pathlib.Path:
        """File of the universal network."""
        return self.path / "universal.safetensors"

    @property
    def record(self) -> pathlib.Path:
        """File with accuracy, cost and history."""
        return self.path / "pretrain.json"

    @property
    def checkpoint(self) -> pathlib.Path:
        """File of the newest checkpoint."""
        return self.path / "checkpoint.safetensors"
