"""The whole export of one task: artifacts, parity, benchmark, publication."""

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np

from export import benchmark, parity, runtimes, sizes
from export.exportable import Source
from export.metadata import ArtifactError, Metadata
from export.onnx import single as onnx
from export.optimize import optimize
from export.saved_model import single as saved_model
from export.serving import configuration as serving
from export.tflite import kernels as tflite_kernels
from export.tflite import single as tflite
from tailor_tf.data import Split, Task, evaluation_batches
from tailor_tf.data.batches import evaluation_input
from tailor_tf.method.folding import fold
from tailor_tf.report.tables import aligned
from tailor_tf.support import files
from tailor_tf.support.versions import Versions

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
        max_accuracy_drop: points of accuracy that the integer precisions may lose. Where "int8"
            loses more, it is trained with quantisation.
        sparsity: share of weights that become zero in further TFLite files; none by default.
        clusters: distinct values per kernel in further TFLite files; none by default.
        optimize_epochs: passes over the training images for each of these trainings.
        keep_versions: how many versions are kept.
        measure: whether latency and memory are measured.
    """

    formats: tuple[str, ...] = FORMATS
    precisions: tuple[str, ...] = tflite.PRECISIONS
    integer_io: bool = False
    max_accuracy_drop: float = 0.5
    sparsity: float | None = None
    clusters: int | None = None
    optimize_epochs: int = 3
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
        self.jobs()
        if self.keep_versions < 1:
            raise ArtifactError(f"keep_versions is {self.keep_versions}; expected 1 or more.")

    def jobs(self) -> dict[str, optimize.Job]:
        """Trainings towards smaller compressed files, by what their files are called."""
        wanted = {
            "sparse": ("sparsify", self.sparsity),
            "clustered": ("cluster", self.clusters),
        }
        return {
            name: optimize.Job(method, amount, epochs=self.optimize_epochs)
            for name, (method, amount) in wanted.items()
            if amount is not None
        }


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
    _check_images(source.metadata, task)
    task = dataclasses.replace(task, preprocessing=source.metadata.preprocessing)
    folder, name = pathlib.Path(folder), source.metadata.name
    split = task.test or task.validation
    artifacts = Versions(folder / "files" / name)
    with artifacts.unfinished() as building:
        checked = _checked(source, task, split, building, options)
        summary = _summary(checked)
        record = {
            "task": name,
            "split": split.name,
            "options": dataclasses.asdict(options),
            "bytes": checked.sizes,
            "gzip_bytes": checked.gzip_sizes,
            "parity": {key: dataclasses.asdict(found) for key, found in checked.parities.items()},
            "quantisation_aware": checked.won_back or None,
        }
        if options.measure:
            measured = _measure(
                source,
                task,
                checked.paths,
                building,
                options,
                _images(split, max(benchmark.BATCHES)),
            )
            record["benchmark"] = [dataclasses.asdict(result) for result in measured]
            summary += "\n" + "\n".join(aligned(benchmark.table(measured), 2)) + "\n"
            benchmark.draw(measured, building / "benchmark.svg")
        files.write_text(building / RECORD, json.dumps(record, indent=1) + "\n")
        files.write_text(building / SUMMARY, summary)
        if "saved_model" in options.formats:
            serving.write_warm_up(building / "saved_model", name, _images(split, 1)[0])
            models = Versions(folder / "serving" / name)
            version = _publish_both(building, artifacts, models)
            models.remove_old(options.keep_versions)
            serving.write_configurations(models.base.parent)
            model = models.base / str(version)
        else:
            version, model = artifacts.add(building), None
    artifacts.remove_old(options.keep_versions)
    return Published(version, artifacts.base / str(version), model, summary)


def _publish_both(building: pathlib.Path, artifacts: Versions, models: Versions) -> int:
    """Publishes the files and then the SavedModel among them, under one number."""
    with models.unfinished() as other:
        model = shutil.move(building / "saved_model", other / "saved_model")
        version = artifacts.add(building, above=max(models.numbers(), default=0))
        return models.add(pathlib.Path(model), version)


def _images(split: Split, count: int | None = None) -> np.ndarray:
    """The first images of a split, all by default: uint8 `[count, height, width, 3]`."""
    return np.asarray(split.images[np.arange(len(split))[:count]])


@dataclasses.dataclass(frozen=True)
class _Checked:
    """Artifacts that are what was trained, by name: where they are, how large and how near."""

    paths: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    parities: dict[str, parity.Parity] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    gzip_sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    won_back: dict[str, float] = dataclasses.field(default_factory=dict)


def _checked(
    source: Source, task: Task, split: Split, folder: pathlib.Path, options: Options
) -> _Checked:
    """Makes all artifacts and compares each with the network.

    Raises:
        parity.ParityError: one of them is not what was trained.
    """
    networks, limit, checked = _folded(source, task, options), options.max_accuracy_drop, _Checked()
    judge = _Judge(source, split)
    for artifact in _make(networks, source.metadata, task, folder, options):
        if artifact.name == "tflite int8":
            network = networks.tflite["", "int8"]
            won_back = _trained_if_needed(artifact.path, network, source, task, options)
            checked.won_back.update(won_back)
        found = judge.compare(artifact.path)
        parity.check(artifact.name, artifact.limits, found, limit)
        checked.paths[artifact.name] = artifact.path
        checked.parities[artifact.name] = found
        checked.sizes[artifact.name] = sizes.on_disk(artifact.path)
        checked.gzip_sizes[artifact.name] = sizes.compressed(artifact.path)
    return checked


class _Judge:
    """Compares artifacts with the network that they were made of, over one split."""

    def __init__(self, source: Source, split: Split):
        self._images, self._labels = _images(split), split.labels
        self._expected = parity.in_batches(_keras_logits(source), self._images)

    def compare(self, path: pathlib.Path) -> parity.Parity:
        """How near an artifact is."""
        received = parity.in_batches(runtimes.load(path, threads=2).logits, self._images)
        return parity.compare(self._expected, received, self._labels)


@dataclasses.dataclass(frozen=True)
class _Artifact:
    """A file or folder, what it is called, and whose limits of `parity` it has to keep."""

    name: str
    path: pathlib.Path
    limits: str


@dataclasses.dataclass(frozen=True, eq=False)
class _Networks:
    """Folded networks that artifacts are made of.

    Attributes:
        whole: of the SavedModel and the ONNX file.
        tflite: of TFLite files, by variant, such as "sparse" or "" for none, and precision.
    """

    whole: keras.Model
    tflite: Mapping[tuple[str, str], keras.Model]


def _folded(source: Source, task: Task, options: Options) -> _Networks:
    """The networks of a task; those of its TFLite files share universal kernels, but variants."""
    whole, precisions = fold(source.network), options.precisions
    if "tflite" not in options.formats:
        return _Networks(whole, {})
    networks = {("", p): tflite_kernels.folded(source.network, p) for p in precisions}
    for variant, job in options.jobs().items():
        networks |= dict.fromkeys(
            ((variant, p) for p in precisions), optimize.optimize(whole, task, job)
        )
    return _Networks(whole, networks)


def _make(
    networks: _Networks,
    metadata: Metadata,
    task: Task,
    folder: pathlib.Path,
    options: Options,
) -> Iterator[_Artifact]:
    """Writes the artifacts of folded networks."""
    if "saved_model" in options.formats:
        path = folder / "saved_model"
        saved_model.save(path, networks.whole, metadata)
        yield _Artifact("saved_model", path, "float32")
    if "onnx" in options.formats:
        path = folder / "float32.onnx"
        path.write_bytes(onnx.convert(networks.whole, metadata))
        yield _Artifact("onnx", path, "float32")
    if "tflite" not in options.formats:
        return
    for (variant, precision), network in networks.tflite.items():
        samples = calibration_images(task) if precision == "int8" else ()
        content = tflite.convert(
            network, precision, representative=samples, integer_io=options.integer_io
        )
        path = folder / f"{variant}{'_' * bool(variant)}{precision}.tflite"
        tflite.save(path, content, metadata)
        name = f"tflite {precision} {variant}".strip()
        yield _Artifact(name, path, variant or precision)


def _trained_if_needed(
    path: pathlib.Path, network: keras.Model, source: Source, task: Task, options: Options
) -> dict[str, float]:
    """Trains an int8 file with quantisation if it loses too much, and keeps the better one.

    Validation images decide, as test images are there to report on. Universal kernels stay what
    they are, so that such a file shares them, too.

    Returns:
        Validation accuracies in float32, of int8 before and after; nothing where none was needed.
    """
    if optimize.unknown_layers(network):
        return {}  # such a network is judged as it is
    judge = _Judge(source, task.validation)
    before = judge.compare(path)
    if before.drop <= options.max_accuracy_drop:
        return {}
    job = optimize.Job("quantise", epochs=options.optimize_epochs, integer_io=options.integer_io)
    fixed, old = tflite_kernels.universal_convolutions(source.network), path.read_bytes()
    content = optimize.optimize(network, task, job, fixed=fixed)
    tflite.save(path, content, source.metadata)
    after = judge.compare(path)
    if after.accuracy <= before.accuracy:
        path.write_bytes(old)
    return {
        "expected": before.expected_accuracy,
        "before": before.accuracy,
        "after": after.accuracy,
    }


def _measure(
    source: Source,
    task: Task,
    made: Mapping[str, pathlib.Path],
    building: pathlib.Path,
    options: Options,
    images: np.ndarray,
) -> list[benchmark.Result]:
    """Latency of the artifacts beside those of the teacher, made in the same way."""
    networks = {"tailored": made}
    teachers = building / "teacher"
    if source.teacher is not None:
        teachers.mkdir()
        whole = fold(source.teacher)
        folded = _Networks(whole, {("", p): whole for p in options.precisions})
        artifacts = _make(folded, source.metadata, task, teachers, options)
        networks["teacher"] = {artifact.name: artifact.path for artifact in artifacts}
    try:
        return benchmark.run(networks, images)
    finally:
        shutil.rmtree(teachers, ignore_errors=True)


def _summary(checked: _Checked) -> str:
    """Parity and sizes as a table, and what training with quantisation won back."""
    header, *rows = parity.table(checked.parities)
    kilobytes = [
        [f"{count[name] / 1e3:,.0f}" for count in (checked.sizes, checked.gzip_sizes)]
        for name in checked.parities
    ]
    both = [row + own for row, own in zip(rows, kilobytes, strict=True)]
    text = "\n".join(aligned([[*header, "size (KB)", "gzip (KB)"], *both])) + "\n"
    if won := {key: f"{100 * value:.2f} %" for key, value in checked.won_back.items()}:
        text += (
            f"\nint8 was trained with quantisation: on validation {won['before']} before and "
            f"{won['after']} after, {won['expected']} in float32.\n"
        )
    return text


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

    def logits(images):
        return np.asarray(source.network(evaluation_input(images, preprocessing), training=False))

    return logits


def calibration_images(task: Task) -> Iterator[np.ndarray]:
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
