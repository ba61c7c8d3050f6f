"""The whole export of one task: artifacts, parity, benchmark, publication."""

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from export import benchmark, onnx, parity, runtimes, saved_model, serving, tflite
from export.folding import fold
from export.metadata import ArtifactError, Metadata
from export.source import Source
from export.versions import Versions
from tailor_tf import files
from tailor_tf.data import Task, evaluation_batches
from tailor_tf.report import aligned

FORMATS = ("saved_model", "tflite", "onnx")
RECORD = "export.json"
SUMMARY = "summary.md"
CALIBRATION_IMAGES = 200  # at least one of each class


@dataclasses.dataclass(frozen=True)
class Options:
    """What an export can be told.

    Attributes:
        formats: some of `FORMATS`.
        precisions: of TFLite, some of `tflite.PRECISIONS`; the other formats are float32.
        integer_io: whether images and logits of int8 files are int8, too.
        max_accuracy_drop: points of accuracy that the integer precisions may lose.
        keep_versions: how many versions are kept.
        measure: whether latency and memory are measured.
    """

    formats: tuple[str, ...] = FORMATS
    precisions: tuple[str, ...] = tflite.PRECISIONS
    integer_io: bool = False
    max_accuracy_drop: float = 0.5
    keep_versions: int = 3
    measure: bool = True

    def __post_init__(self):
        for name, known in (("formats", FORMATS), ("precisions", tflite.PRECISIONS)):
            received = getattr(self, name)
            if unknown := [item for item in received if item not in known]:
                raise ArtifactError(
                    f"Unknown {name} {', '.join(unknown)}; known are {', '.join(known)}."
                )
            if not received:
                raise ArtifactError(f"No {name}; expected some of {', '.join(known)}.")
        if self.keep_versions < 1:
            raise ArtifactError(f"keep_versions is {self.keep_versions}; expected 1 or more.")


@dataclasses.dataclass(frozen=True)
class Published:
    """Where an export landed.

    Attributes:
        version: its number.
        files: the folder of the TFLite and ONNX files and the record.
        model: the SavedModel's folder; `None` if none was asked for.
        summary: tables of parity and benchmark, Markdown.
    """

    version: int
    files: pathlib.Path
    model: pathlib.Path | None
    summary: str


def export(
    source: Source, task: Task, folder: str | os.PathLike, options: Options | None = None
) -> Published:
    """Makes, checks and publishes the artifacts of a task.

    `folder` receives `files/TASK/VERSION` with TFLite and ONNX files, record and summary, and
    `serving/TASK/VERSION` with the SavedModel, beside TensorFlow Serving's configurations.

    Args:
        source: the network.
        task: its images: the training split calibrates int8, the test split is what every artifact
            is compared on (the validation split if there are no test labels).
        folder: where everything lands.
        options: what to make.

    Raises:
        parity.ParityError: an artifact is not what was trained; nothing is published.
        ArtifactError: the images are not those of the network, or a format cannot express it.
    """
    options = options or Options()
    folder, name = pathlib.Path(folder), source.metadata.name
    _check_images(source.metadata, task)
    split = task.test or task.validation
    images = np.asarray(split.images[np.arange(len(split))])
    artifacts = Versions(folder / "files" / name)
    models = Versions(folder / "serving" / name) if "saved_model" in options.formats else None
    with artifacts.unfinished() as building:
        expected = parity.in_batches(_keras_logits(source), images)
        made, parities = {}, {}
        for artifact, (path, precision) in _make(source, source.network, task, building, options):
            made[artifact] = (path, precision)
            received = parity.in_batches(runtimes.load(path, threads=2).logits, images)
            parities[artifact] = parity.compare(expected, received, split.labels)
            parity.check(artifact, precision, parities[artifact], options.max_accuracy_drop)
        record: dict[str, Any] = {
            "task": source.metadata.name,
            "split": split.name,
            "options": dataclasses.asdict(options),
            "bytes": {
                artifact: benchmark.size_on_disk(path) for artifact, (path, _) in made.items()
            },
            "parity": {artifact: dataclasses.asdict(p) for artifact, p in parities.items()},
        }
        summary = "\n".join(aligned(parity.table(parities))) + "\n"
        if options.measure:
            measured = _measure(source, task, made, building, options, images)
            record["benchmark"] = [dataclasses.asdict(result) for result in measured]
            summary += "\n" + "\n".join(aligned(benchmark.table(measured), 2)) + "\n"
            benchmark.draw(measured, building / "benchmark.svg")
        files.write_text(building / RECORD, json.dumps(record, indent=1) + "\n")
        files.write_text(building / SUMMARY, summary)
        if models is None:
            version = artifacts.add(building)
        else:
            with models.unfinished() as serving_content:
                model = shutil.move(building / "saved_model", serving_content / "saved_model")
                serving.write_warm_up(model, name, images[0])
                version = artifacts.add(building)
                models.add(pathlib.Path(model), version)
    if models is not None:
        serving.write_configurations(models.base.parent)
        models.remove_old(options.keep_versions)
    artifacts.remove_old(options.keep_versions)
    model = None if models is None else models.base / str(version)
    return Published(version, artifacts.base / str(version), model, summary)


def _make(
    source: Source, network: keras.Model, task: Task, folder: pathlib.Path, options: Options
) -> Iterator[tuple[str, tuple[pathlib.Path, str]]]:
    """Writes the artifacts of a network; yields name, path and precision of each."""
    folded, metadata = fold(network), source.metadata
    if "saved_model" in options.formats:
        path = folder / "saved_model"
        saved_model.save(path, folded, metadata)
        yield "saved_model", (path, "float32")
    if "onnx" in options.formats:
        path = folder / "float32.onnx"
        path.write_bytes(onnx.convert(folded, metadata))
        yield "onnx", (path, "float32")
    if "tflite" in options.formats:
        for precision in options.precisions:
            samples = _calibration_images(task) if precision == "int8" else ()
            content = tflite.convert(
                folded, precision, representative=samples, integer_io=options.integer_io
            )
            path = folder / f"{precision}.tflite"
            tflite.save(path, content, metadata)
            yield f"tflite {precision}", (path, precision)


def _measure(
    source: Source,
    task: Task,
    made: dict[str, tuple[pathlib.Path, str]],
    building: pathlib.Path,
    options: Options,
    images: np.ndarray,
) -> list[benchmark.Result]:
    """Latency of the artifacts beside those of the teacher, made in the same way."""
    networks = {"tailored": {name: path for name, (path, _) in made.items()}}
    teachers = building / "teacher"
    if source.teacher is not None:
        teachers.mkdir()
        made = _make(source, source.teacher, task, teachers, options)
        networks["teacher"] = {name: path for name, (path, _) in made}
    try:
        return benchmark.run(networks, images)
    finally:
        shutil.rmtree(teachers, ignore_errors=True)


def _check_images(metadata: Metadata, task: Task) -> None:
    if task.classes != metadata.classes:
        raise ArtifactError(
            f"The network knows {len(metadata.classes)} classes, {metadata.classes[:3]} and so on; "
            f"the images of {task.name} have {len(task.classes)}, {task.classes[:3]} and so on. "
            "Name the task that it was tailored to."
        )
    if task.preprocessing.resize != metadata.preprocessing.resize:
        raise ArtifactError(
            f"The network expects images of {metadata.preprocessing.resize} pixels, received "
            f"{task.preprocessing.resize}; see --image_size and --resize."
        )


def _keras_logits(source: Source) -> Callable[[np.ndarray], np.ndarray]:
    preprocessing = source.metadata.preprocessing
    start, side = preprocessing.margin // 2, preprocessing.image_size

    def logits(images):
        window = images[:, start : start + side, start : start + side]
        return np.asarray(source.network(preprocessing.normalise(window), training=False))

    return logits


def _calibration_images(task: Task) -> Iterator[np.ndarray]:
    """Normalised training images `[1, height, width, 3]`, the classes in turn.

    Raises:
        ArtifactError: a class has no training image.
    """
    chosen = []
    share = -(-CALIBRATION_IMAGES // task.num_classes)
    for label, name in enumerate(task.classes):
        members = np.flatnonzero(task.train.labels == label)
        if not len(members):
            raise ArtifactError(
                f"Class {name!r} has no training image to calibrate int8 with; add one, or leave "
                "int8 out of --precision."
            )
        chosen.extend(members[:share])
    samples = task.train.select(np.asarray(chosen), "calibration")
    for image, _ in evaluation_batches(samples, task.preprocessing, batch_size=1):
        yield image.numpy()
