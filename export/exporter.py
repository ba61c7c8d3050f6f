"""The export of one task: its artifacts are made, compared, measured, published and recorded."""

import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

from export import benchmark, formats, lineage, parity, sizes
from export.exportable import Exportable
from export.format import Format, Improvement, Subject, first_images
from export.judge import Judge
from export.metadata import ArtifactError
from export.options import Options
from export.parity import Parity
from export.record import ExportRecord
from export.serving.configuration import write_configurations
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.records.workdir import SUMMARY, Exports
from tailor_tf.support import files
from tailor_tf.support.versions import RECORD, Versions

PICTURE = "benchmark.svg"


@dataclasses.dataclass(frozen=True)
class Published:
    """A published export.

    Attributes:
        version: its number.
        files: folder of the files that are not served, the record and the summary.
        model: folder of the model for TensorFlow Serving; `None` if none was asked for.
        summary: tables of parity and benchmark, Markdown.
    """

    version: int
    files: pathlib.Path
    model: pathlib.Path | None
    summary: str


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An artifact that was compared with its network.

    Attributes:
        format: its format.
        path: the file or folder.
        parity: the comparison.
        improvement: what was done for it because it was too far from its network.
    """

    format: Format
    path: pathlib.Path
    parity: Parity
    improvement: Improvement


def export(
    exportable: Exportable, task: Task, folder: str | os.PathLike, options: Options | None = None
) -> Published:
    """Makes, compares, measures and publishes the artifacts of a task.

    Args:
        exportable: the network.
        task: its images: the training split calibrates int8, the test split is compared on (the
            validation split if there are no test labels).
        folder: receives `files/TASK/VERSION` with files, record and summary, and
            `serving/TASK/VERSION` with the SavedModel, beside TensorFlow Serving's configurations.
        options: the artifacts to make; `Options()` by default.

    Raises:
        parity.ParityError: an artifact is too far from its network; nothing is published.
        ArtifactError: the images belong to another task, or a format cannot express the network.
        lineage.LineageError: the versions of this name so far are of another task.
        names.TaskNameError: the task's name is not allowed.
        extras.MissingPackageError: the packages of a format are not installed.
    """
    options = options or Options()
    formats.require(options.formats)
    _check_images(exportable.info, task)
    lineage.check(Exports(folder), exportable.info, supersede=options.supersede)
    subject = Subject(exportable.network, dataclasses.replace(task, info=exportable.info))
    exports, name = Exports(folder), subject.info.name
    versions = Versions(exports.files(name))
    with versions.unfinished() as building:
        artifacts = _made(subject, building, options)
        measured = _measured(exportable, subject, artifacts, building, options)
        record = _recorded(subject, artifacts, measured, building, options)
        for artifact in artifacts:
            artifact.format.complete(artifact.path, subject)
        version, model = _publish(building, artifacts, versions, exports.serving / name)
    if model is not None:
        Versions(model.parent).remove_old(options.keep_versions)
        write_configurations(exports.serving)
    versions.remove_old(options.keep_versions)
    return Published(version, versions.base / str(version), model, record.summary())


def _check_images(info: TaskInfo, task: Task) -> None:
    if task.classes != info.classes:
        raise ArtifactError(
            f"The network knows {len(info.classes)} classes, {info.classes[:3]} and so on; "
            f"the images of {task.name} have {len(task.classes)}, {task.classes[:3]} and so on. "
            "Name the task that it was tailored to."
        )
    expected, received = info.preprocessing.square, task.preprocessing.square
    if received != expected:
        raise ArtifactError(
            f"The network expects images of {expected.side} pixels, made square by "
            f"{expected.fit!r}; received {received.side} pixels and {received.fit!r}. Load them "
            "with the network's preprocessing."
        )


def _made(subject: Subject, folder: pathlib.Path, options: Options) -> list[Artifact]:
    """Makes all artifacts in a folder and compares each with the network.

    Raises:
        parity.ParityError: one of them is too far from its network.
    """
    reporting, deciding = (
        Judge(subject.network, subject.info.preprocessing, split)
        for split in (subject.split, subject.task.validation)
    )
    return [
        _one(each, folder / each.file_name, subject, reporting, deciding)
        for each in options.artifacts()
    ]


def _one(
    form: Format, path: pathlib.Path, subject: Subject, reporting: Judge, deciding: Judge
) -> Artifact:
    """Makes an artifact, improves it if it needs that, and compares it with the network.

    Args:
        form: the format.
        path: the artifact's file or folder.
        subject: the material that it is made of.
        reporting: compares on the images whose figures are reported; they decide nothing.
        deciding: compares on the images that decide about improvements.
    """
    form.write(path, subject)
    improvement = form.improve(path, subject, deciding.compare)
    found = reporting.compare(path)
    parity.check(form.name, form.limits, found)
    return Artifact(form, path, found, improvement)


def _measured(
    exportable: Exportable,
    subject: Subject,
    artifacts: Sequence[Artifact],
    building: pathlib.Path,
    options: Options,
) -> tuple[benchmark.Result, ...] | None:
    """Measures artifacts of the network and of its teacher, if options ask for it, and draws."""
    if not options.measure:
        return None
    networks = {"tailored": {each.format.name: each.path for each in artifacts}}
    with tempfile.TemporaryDirectory(dir=building) as folder:
        if exportable.teacher is not None:
            teacher = Subject(exportable.teacher, subject.task, keeps_kernels=False)
            networks["teacher"] = _teachers(teacher, pathlib.Path(folder), options)
        images = first_images(subject.split, max(benchmark.BATCHES))
        measured = benchmark.run(networks, images)
    benchmark.draw(measured, building / PICTURE)
    return tuple(measured)


def _teachers(teacher: Subject, folder: pathlib.Path, options: Options) -> dict[str, pathlib.Path]:
    """Artifacts of the teacher in the same formats, without variants that are trained."""
    untrained = dataclasses.replace(options, sparsity=None, clusters=None)
    paths = {}
    for form in untrained.artifacts():
        paths[form.name] = folder / form.file_name
        form.write(paths[form.name], teacher)
    return paths


def _recorded(
    subject: Subject,
    artifacts: Sequence[Artifact],
    measured: tuple[benchmark.Result, ...] | None,
    building: pathlib.Path,
    options: Options,
) -> ExportRecord:
    """Writes record and summary beside the artifacts."""
    improvements = [each.improvement for each in artifacts]
    record = ExportRecord(
        task=subject.info.name,
        split=subject.split.name,
        options=options,
        bytes={each.format.name: sizes.on_disk(each.path) for each in artifacts},
        gzip_bytes={each.format.name: sizes.compressed(each.path) for each in artifacts},
        parity={each.format.name: each.parity for each in artifacts},
        quantisation_aware=next((i.trained for i in improvements if i.trained), None),
        selective=next((i.selective for i in improvements if i.selective), None),
        benchmark=measured,
        pack=subject.info.pack,
    )
    files.write_text(building / RECORD, json.dumps(record.as_dict(), indent=1) + "\n")
    files.write_text(building / SUMMARY, record.summary())
    return record


def _publish(
    building: pathlib.Path,
    artifacts: Sequence[Artifact],
    versions: Versions,
    serving: pathlib.Path,
) -> tuple[int, pathlib.Path | None]:
    """Publishes the files, and then the model for TensorFlow Serving, under one number.

    Args:
        building: folder of all artifacts; it moves.
        artifacts: the artifacts, one of them served at most.
        versions: versions of the files.
        serving: folder of the model's versions.

    Returns:
        The number, and the folder of the model; `None` where there is none.
    """
    served = [each.path for each in artifacts if each.format.is_served]
    if not served:
        return versions.add(building), None
    models = Versions(serving)
    with models.unfinished() as other:
        model = shutil.move(served[0], other / served[0].name)
        version = versions.add(building, above=max(models.numbers(), default=0))
        models.add(pathlib.Path(model), version)
    return version, serving / str(version)
