"""Lineage of versions: all versions of one name are of the same task, or of the same bundle."""

import pathlib
from collections.abc import Mapping

from export import formats
from export.metadata import ArtifactError
from export.shared_format import SharedFormat
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.records.workdir import Exports
from tailor_tf.support import files, names
from tailor_tf.support.versions import existing

_SHOWN = 3  # class names in a message
_ADVICE = (
    "Give the new one another name (--name) or another folder (--exports), or say with --supersede "
    "that it takes the place of the versions before it."
)


class LineageError(ArtifactError):
    """A version under the name of another task, or in the place of another bundle."""


def check(exports: Exports, info: TaskInfo, *, supersede: bool = False) -> None:
    """Refuses a task under a name whose versions so far are of another task.

    Args:
        exports: folder of artifacts.
        info: the task, with the name of its new version.
        supersede: whether another task may take the place.

    Raises:
        LineageError: the newest version has other classes, or comes from other images.
        names.TaskNameError: the name is not allowed, or differs from the name of another task by
            case or Unicode form alone.
        files.FileKindError: a link is in the place of a folder of artifacts.
    """
    names.checked(info.name)
    for folder in (exports.files(info.name), exports.serving / info.name):
        for inside in (folder.parent, folder):
            files.check_folder(inside)
        others = folder.parent.iterdir() if folder.parent.exists() else ()
        names.check_distinct(info.name, [path.name for path in others], folder.parent)
        if not supersede:
            for version in existing(folder)[-1:]:
                _check_same(version, _task_of(version), info)


def check_shared(
    shared: SharedFormat,
    exports: Exports,
    infos: Mapping[str, TaskInfo],
    *,
    supersede: bool = False,
) -> None:
    """Refuses a bundle in the place of another one.

    Args:
        shared: the format.
        exports: folder of artifacts.
        infos: the bundle's tasks, by name.
        supersede: whether another bundle may take the place.

    Raises:
        LineageError: the newest version has none of these tasks, or one of them with other classes
            or from other images.
        files.FileKindError: a link is in the place of a folder of artifacts.
    """
    folder = shared.folder(exports)
    for inside in (folder.parent, folder):
        if inside != exports.path:
            files.check_folder(inside)
    for version in [] if supersede else existing(folder)[-1:]:
        found = _tasks_of(shared, version)
        if found and found.keys().isdisjoint(infos):
            raise LineageError(
                f"{version} is of {', '.join(sorted(found))}, and the bundle has "
                f"{', '.join(sorted(infos))}; expected a version of the same bundle. {_ADVICE}"
            )
        for name in found.keys() & infos.keys():
            _check_same(version, found[name], infos[name])


def _task_of(version: pathlib.Path) -> TaskInfo | None:
    """The task of a version, as its artifacts describe it; `None` if none of them can be read."""
    for path in (version, *sorted(version.iterdir())):
        try:
            return formats.family_of(path).info(path)
        except ArtifactError:
            continue
    return None


def _tasks_of(shared: SharedFormat, version: pathlib.Path) -> Mapping[str, TaskInfo]:
    """The tasks of a version, as it describes them; none if it is damaged."""
    try:
        return shared.infos(version)
    except ArtifactError:
        return {}


def _check_same(version: pathlib.Path, old: TaskInfo | None, new: TaskInfo) -> None:
    if old is None:
        return
    other_images = None not in (old.source, new.source) and old.source != new.source
    if old.classes != new.classes or other_images:
        raise LineageError(
            f"{version} is of another task of the name {new.name}: {_in_words(old)}; this one has "
            f"{_in_words(new)}. {_ADVICE}"
        )


def _in_words(info: TaskInfo) -> str:
    """Classes and origin of a task."""
    more = ", ..." if info.num_classes > _SHOWN else ""
    origin = {"task pack": info.pack, "images": info.source}
    known = "".join(f", {what} {digest[:16]}" for what, digest in origin.items() if digest)
    classes = ", ".join(map(repr, info.classes[:_SHOWN]))
    return f"{info.num_classes} classes {classes}{more}{known}"
