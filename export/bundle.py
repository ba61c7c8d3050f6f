"""The artifacts of a whole bundle: one for all tasks, or one set of files that share kernels."""

import os
import pathlib
from collections.abc import Sequence

from export import runtimes
from export.metadata import ArtifactError
from export.onnx import shared as shared_onnx
from export.saved_model import shared as shared_saved_model
from export.tflite import shared as shared_tflite
from export.tflite import single as tflite
from tailor_tf.bundle.store import BundleStore
from tailor_tf.method.task_pack import Tailored
from tailor_tf.support.versions import Versions

FORMATS = ("saved_model", "onnx", "tflite")
PRECISIONS = ("int8", "float32", "float16")


def export(
    store: BundleStore,
    folder: str | os.PathLike,
    *,
    formats: Sequence[str] = ("saved_model", "onnx"),
    precisions: Sequence[str] = ("int8",),
    keep_versions: int = 3,
) -> list[pathlib.Path]:
    """Writes what a bundle's tasks are together, each format as a new version.

    SavedModel and ONNX are made of the task packs. TFLite files are put together from those that
    `exporter.export` wrote for each task into the same folder, `files/TASK/VERSION`, as these were
    calibrated and compared on real images.

    Args:
        store: the bundle.
        folder: receives `serving/tasks/VERSION`, `onnx/VERSION` and `tflite/VERSION`.
        formats: some of `FORMATS`.
        precisions: of the TFLite files, some of `PRECISIONS`.
        keep_versions: how many versions are kept.

    Returns:
        The new versions' folders.

    Raises:
        ArtifactError: an unknown format or precision, a task without a TFLite file, or one that
            was tailored otherwise; versions of other formats may have been published by then.
        parity.ParityError: a task answers otherwise than by itself, likewise.
        BundleError: a file of the bundle is missing or altered.
    """
    folder = pathlib.Path(folder)
    for what, received, known in (
        ("format", formats, FORMATS),
        ("precision", precisions, PRECISIONS),
    ):
        if unknown := [name for name in received if name not in known]:
            raise ArtifactError(f"Unknown {what} {unknown[0]!r}; known are {', '.join(known)}.")
    tasks, made = store.load(), []
    own = {}
    if "tflite" in formats:  # what is missing is said before anything is made
        own = {p: {name: _own_file(folder, name, p) for name in tasks} for p in precisions}
        for name, tailored in tasks.items():
            for paths in own.values():
                _check_same(paths[name], name, tailored)
    if "saved_model" in formats:
        made.append(
            shared_saved_model.publish(folder / "serving", tasks, keep_versions=keep_versions)
        )
    if "onnx" in formats:
        made.append(shared_onnx.publish(folder / "onnx", tasks, keep_versions=keep_versions))
    if own:
        universal = next(iter(tasks.values())).universal

        def write(building: pathlib.Path) -> None:
            for precision, paths in own.items():
                shared_tflite.write(building / f"{precision}.tflite", paths, universal)

        made.append(Versions(folder / "tflite").publish(write, keep_versions))
    return made


def runtime(path: str | os.PathLike, task: str) -> runtimes.Runtime:
    """Loads one task of an artifact of many.

    Args:
        path: a `.tflite` file or the folder of a SavedModel; ONNX files are of one task each.
        task: the task's name.

    Raises:
        ArtifactError: the artifact is missing or none of many tasks, or has no such task.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ArtifactError(f"There is no artifact {path}; pipelines.bundle export writes them.")
    if path.suffix == ".onnx":
        raise ArtifactError(f"{path} is of one task; leave out the name {task!r}.")
    load = shared_saved_model.load_runtimes if path.is_dir() else shared_tflite.load
    tasks = load(path)
    if task not in tasks:
        raise ArtifactError(f"{path} has no task {task!r}; it has {', '.join(sorted(tasks))}.")
    return tasks[task]


def _own_file(folder: pathlib.Path, task: str, precision: str) -> pathlib.Path:
    """The newest TFLite file of a task alone."""
    versions = folder / "files" / task
    numbers = Versions(versions).numbers() if versions.is_dir() else []
    path = versions / str(max(numbers, default=1)) / f"{precision}.tflite"
    if not path.exists():
        raise ArtifactError(
            f"There is no {path}: the TFLite file of a task alone comes first. Run "
            f"pipelines.export for {task} with --exports={folder}."
        )
    return path


def _check_same(path: pathlib.Path, name: str, tailored: Tailored) -> None:
    """Refuses a file that is not of the bundle's task."""
    found = tflite.read_metadata(path)
    if (found.classes, found.preprocessing) != (tailored.classes, tailored.preprocessing):
        raise ArtifactError(
            f"{path} has other classes or preprocessing than the task {name} of the bundle; export "
            "the run that was added to the bundle."
        )
