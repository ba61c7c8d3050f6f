"""The registry of formats: one entry each. Exporter, bundles, benchmark and client go by it."""

import os
import pathlib
from collections.abc import Mapping, Sequence

from export import integrity
from export.format import Family
from export.metadata import ArtifactError
from export.onnx.family import ONNX
from export.runtimes import Runtime
from export.saved_model.family import SAVED_MODEL
from export.shared_format import SharedFormat
from export.tflite.family import TFLITE
from tailor_tf.support import extras, files

FAMILIES: dict[str, Family] = {family.name: family for family in (SAVED_MODEL, ONNX, TFLITE)}


def precisions() -> tuple[str, ...]:
    """Precisions of artifacts of one task, over all formats that have several."""
    found = [name for family in FAMILIES.values() for name in family.precisions]
    return tuple(dict.fromkeys(found))


def shared_formats() -> dict[str, SharedFormat]:
    """Formats of artifacts of many tasks, by name."""
    families = FAMILIES.values()
    return {family.name: family.shared for family in families if family.shared is not None}


def shared_precisions() -> tuple[str, ...]:
    """Precisions of artifacts of many tasks, over all formats that have several."""
    found = [name for shared in shared_formats().values() for name in shared.precisions]
    return tuple(dict.fromkeys(found))


def check_known(kind: str, received: Sequence[str], known: Sequence[str]) -> None:
    """Refuses names that are not known, and a list without names.

    Args:
        kind: the kind of names, plural, for the error.
        received: the names.
        known: the names that there are.

    Raises:
        ArtifactError: names the unknown ones and lists the known ones.
    """
    if not received:
        raise ArtifactError(f"No {kind}; expected some of {', '.join(known)}.")
    if unknown := [name for name in received if name not in known]:
        raise ArtifactError(f"Unknown {kind} {', '.join(unknown)}; known are {', '.join(known)}.")


def require(names: Sequence[str]) -> None:
    """Refuses to write artifacts of formats whose packages are not installed.

    Raises:
        extras.MissingPackageError: names the modules that are missing and the extra to install.
    """
    families = [FAMILIES[name] for name in names]
    extras.require(*(name for each in families for name in each.modules + each.writer_modules))


def family_of(path: str | os.PathLike) -> Family:
    """The family of an artifact of one task.

    Raises:
        ArtifactError: the artifact is missing, of many tasks, or of no family.
    """
    path = _existing(path, "pipelines.export")
    for family in FAMILIES.values():
        if family.recognises(path):
            return family
    if _shared_format_of(path):
        raise ArtifactError(f"{path} is of many tasks; the name of one is missing.")
    usages = " or ".join(family.usage for family in FAMILIES.values())
    raise ArtifactError(f"{path} is no artifact; expected {usages}.")


def load(path: str | os.PathLike, *, task: str | None = None, threads: int = 1) -> Runtime:
    """Loads an artifact of one task, or one task of an artifact of many.

    Args:
        path: the artifact's file or folder.
        task: name of one task in an artifact of many; `None` for an artifact of one.
        threads: threads of runtimes that have such a setting; TensorFlow's is the process's.

    Raises:
        ArtifactError: the artifact is missing, damaged, or none of this project, or it has no such
            task.
        extras.MissingPackageError: the packages of its format are not installed.
    """
    if task is None:
        family = family_of(path)
        extras.require(*family.modules)
        integrity.check(pathlib.Path(path))
        return family.load(pathlib.Path(path), threads)
    if _shared_format_of(path) is None and family_of(path):
        raise ArtifactError(f"{path} is of one task; leave out the name {task!r}.")
    tasks = load_shared(path, threads=threads)
    if task not in tasks:
        raise ArtifactError(f"{path} has no task {task!r}; it has {', '.join(sorted(tasks))}.")
    return tasks[task]


def load_shared(path: str | os.PathLike, *, threads: int = 1) -> Mapping[str, Runtime]:
    """Loads an artifact of many tasks; a runtime per task, by name.

    Args:
        path: the artifact's file or folder.
        threads: as of `load`.

    Raises:
        ArtifactError: the artifact is missing, damaged, or not one of many tasks.
        extras.MissingPackageError: the packages of its format are not installed.
    """
    shared = _shared_format_of(path)
    if shared is None:
        raise ArtifactError(f"{path} is no artifact of many tasks; pipelines.bundle writes them.")
    extras.require(*FAMILIES[shared.name].modules)
    integrity.check(pathlib.Path(path))
    return shared.load(pathlib.Path(path), threads)


def _shared_format_of(path: str | os.PathLike) -> SharedFormat | None:
    path = _existing(path, "pipelines.bundle export")
    return next((each for each in shared_formats().values() if each.recognises(path)), None)


def _existing(path: str | os.PathLike, program: str) -> pathlib.Path:
    path = pathlib.Path(path)
    if not path.exists():
        raise ArtifactError(f"There is no artifact {path}; {program} writes them.")
    if not path.is_dir():
        files.check_file(path, follow=True)
    return path
