"""The artifacts of a whole bundle: one for all tasks, or one set of files that share kernels."""

import os
import pathlib
from collections.abc import Sequence

from export import formats as registry
from export import lineage
from export.serving.configuration import write_configurations
from export.shared_format import SharedFormat, SharedSubject
from tailor_tf.bundle.store import BundleStore
from tailor_tf.records.workdir import Exports
from tailor_tf.support.versions import Versions

PRECISION = "int8"  # of formats that have several, by default


def default_formats() -> tuple[str, ...]:
    """Formats that are made of task packs alone; others need each task's own files first."""
    return tuple(name for name, each in registry.shared_formats().items() if not each.needs_files)


def export(
    store: BundleStore,
    folder: str | os.PathLike,
    *,
    formats: Sequence[str] | None = None,
    precisions: Sequence[str] = (PRECISION,),
    keep_versions: int = 3,
    supersede: bool = False,
) -> list[pathlib.Path]:
    """Writes the artifacts of all tasks of a bundle together, each format as a new version.

    SavedModel and ONNX are made of the task packs. TFLite files are put together from the files
    that `exporter.export` wrote for each task into the same folder, `files/TASK/VERSION`, as these
    were calibrated and compared on real images.

    Args:
        store: the bundle.
        folder: receives `serving/tasks/VERSION`, `onnx/VERSION` and `tflite/VERSION`.
        formats: some of `formats.shared_formats`; `default_formats` by default.
        precisions: of formats that have several, some of `formats.shared_precisions`.
        keep_versions: versions that are kept.
        supersede: whether versions of another bundle may come before.

    Returns:
        The new versions' folders, in the order of the registry.

    Raises:
        ArtifactError: an unknown format or precision, or a task without a TFLite file of its own
            pack; versions of other formats may have been published by then.
        lineage.LineageError: the versions in the folder so far are of another bundle.
        parity.ParityError: a task answers otherwise than by itself, likewise.
        BundleError: a file of the bundle is missing or altered.
        extras.MissingPackageError: the packages of a format are not installed.
    """
    names = default_formats() if formats is None else formats
    known = registry.shared_formats()
    registry.check_known("formats", names, tuple(known))
    registry.check_known("precisions", precisions, registry.shared_precisions())
    registry.require(names)
    chosen = [each for name, each in known.items() if name in names]
    subject = SharedSubject(store.load(), Exports(folder), precisions)
    infos = {name: task.info for name, task in subject.tasks.items()}
    for each in chosen:
        lineage.check_shared(each, subject.exports, infos, supersede=supersede)
        each.require(subject)
    return [publish(each, subject, keep_versions=keep_versions) for each in chosen]


def publish(
    shared: SharedFormat, subject: SharedSubject, *, keep_versions: int = 3
) -> pathlib.Path:
    """Writes an artifact of many tasks as a new version, complete from the moment it is there.

    It is loaded again and compared first.

    Args:
        shared: the format.
        subject: the tasks, and the folder that the artifact is published in.
        keep_versions: versions that are kept.

    Returns:
        The new version's folder.

    Raises:
        ArtifactError: the tasks cannot share such an artifact; nothing is published.
        parity.ParityError: a task answers otherwise than by itself; nothing is published.
    """

    def write(building: pathlib.Path) -> None:
        shared.write(building, subject)
        shared.compare(building, subject)

    published = Versions(shared.folder(subject.exports)).publish(write, keep_versions)
    if shared.is_served:
        write_configurations(subject.exports.serving)
    return published
