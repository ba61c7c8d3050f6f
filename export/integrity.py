"""Comparison of an artifact's files with the checksums in the record of its version."""

import pathlib
from collections.abc import Mapping
from typing import Any

from export.metadata import ArtifactError
from tailor_tf.support import files
from tailor_tf.support.errors import TailorError
from tailor_tf.support.json_text import parsed
from tailor_tf.support.versions import RECORD, SUMS


def check(path: pathlib.Path) -> None:
    """Refuses an artifact that was altered after it was published.

    An artifact without a record beside it, or with one of an earlier version of this project, is
    not checked.

    Args:
        path: the artifact: a file beside the record, or the folder with the record.

    Raises:
        ArtifactError: names the file that is missing, altered or unknown, or the link, pipe or
            device.
    """
    folder = path if path.is_dir() else path.parent
    for inside in path.rglob("*"):
        if not (files.is_file(inside) or files.is_folder(inside)):
            raise ArtifactError(f"{inside} is no regular file; expected files and folders alone.")
    sums = _sums(folder / RECORD)
    wanted = sums if path.is_dir() else {n: s for n, s in sums.items() if n == path.name}
    for name, expected in wanted.items():
        received = _sha256(folder, name)
        if received != expected:
            raise ArtifactError(
                f"{folder / name} was altered or cut short: its SHA-256 is {received[:16]}, and "
                f"{folder / RECORD} says {str(expected)[:16]}. Export the task again."
            )
    if sums and path.is_dir():
        _check_known(path, sums)


def is_recorded(path: pathlib.Path) -> bool:
    """Whether an artifact has a record of checksums beside it, with which `check` compares it.

    Raises:
        ArtifactError: the record is damaged.
    """
    return bool(_sums((path if path.is_dir() else path.parent) / RECORD))


def _check_known(folder: pathlib.Path, sums: Mapping[str, Any]) -> None:
    """Refuses a file that is not in the record: runtimes look for files by their names."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if unknown := sorted(set(found) - {*sums, RECORD}):
        raise ArtifactError(
            f"{folder / unknown[0]} was added: {folder / RECORD} does not name it. Remove the file "
            "or export the task again."
        )


def _sums(record: pathlib.Path) -> Mapping[str, Any]:
    """The checksums in a record; none where there is no record, or not one of this project."""
    if not record.exists():
        return {}
    try:
        found = parsed(files.read_bytes(record))
    except ValueError as error:
        raise ArtifactError(f"{record} is damaged: {error}. Export the task again.") from error
    sums = found.get(SUMS) if isinstance(found, Mapping) else None
    return sums if isinstance(sums, Mapping) else {}


def _sha256(folder: pathlib.Path, name: str) -> str:
    """The checksum of a file, named by its path in a folder."""
    path = folder / name
    if pathlib.PurePath(name).is_absolute() or ".." in pathlib.PurePath(name).parts:
        raise ArtifactError(f"{folder / RECORD} is damaged: it names {name!r}, outside of it.")
    try:
        return files.sha256(path)
    except (OSError, TailorError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}. Export the task again.") from error
