"""The TFLite files of tasks alone that a file of many tasks is put together from."""

import itertools
import pathlib
from collections.abc import Iterator

from export import integrity
from export.metadata import ArtifactError
from export.shared_format import SharedSubject
from export.tflite import single
from tailor_tf.method.task_pack import TailoredTask
from tailor_tf.records.workdir import Exports
from tailor_tf.support import files
from tailor_tf.support.versions import existing


def find(subject: SharedSubject, precision: str) -> dict[str, pathlib.Path]:
    """The newest TFLite file of each task alone that was made of the task's own pack.

    Raises:
        ArtifactError: a task has no such file; names the file that comes closest.
    """
    return {
        name: _find_one(subject.exports, name, task, precision)
        for name, task in subject.tasks.items()
    }


def _find_one(exports: Exports, name: str, task: TailoredTask, precision: str) -> pathlib.Path:
    """The newest file of a task; it may lie under the name that the task has outside the bundle."""
    file_name = f"{precision}.tflite"
    for path in _newest_first(exports, name, file_name):
        if _is_of(path, task):
            integrity.check(path)
            return path
    advice = f"pipelines.export for {name} with --exports={exports.path}"
    for path in itertools.islice(_newest_first(exports, name, file_name), 1):
        raise ArtifactError(_difference(path, name, task, advice))
    path = exports.files(name) / "1" / file_name
    raise ArtifactError(
        f"There is no {path}: the TFLite file of a task alone comes first. Run {advice}, and with "
        f"--name={name} if its run has another name."
    )


def _newest_first(exports: Exports, name: str, file_name: str) -> Iterator[pathlib.Path]:
    """Files of single tasks: those of a name first, and the newest of each name first."""
    folders = [exports.files(name), *(f for f in exports.all_files() if f.name != name)]
    for folder in folders:
        for version in reversed(existing(folder)):
            if files.is_file(version / file_name):
                yield version / file_name


def _is_of(path: pathlib.Path, task: TailoredTask) -> bool:
    """Whether a file was made of the pack that a task was read from."""
    try:
        found = single.read_info(path)
    except ArtifactError:
        return False
    same = (found.classes, found.preprocessing) == (task.info.classes, task.info.preprocessing)
    return same and task.info.pack in (None, found.pack)


def _difference(path: pathlib.Path, name: str, task: TailoredTask, advice: str) -> str:
    """The reason why a file cannot stand for a task."""
    found, info = single.read_info(path), task.info
    if (found.classes, found.preprocessing) != (info.classes, info.preprocessing):
        return (
            f"{path} has other classes or preprocessing than the task {name} of the bundle; export "
            f"the run that was added to the bundle: {advice}."
        )
    made_of = f"the task pack {found.pack[:16]}" if found.pack else "a pack that it does not name"
    return (
        f"{path} was made of {made_of}, and the task {name} of the bundle has the pack "
        f"{info.pack[:16]}; expected a file of the same pack. Export the run that was added to the "
        f"bundle: {advice}. Or replace the task in the bundle by the newer run."
    )
