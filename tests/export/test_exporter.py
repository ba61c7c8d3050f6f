"""The whole export over a small network and made-up images that it classifies without error."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from export import benchmark, exporter, formats, parity
from export import format as format_module
from export.exportable import Exportable
from export.format import Improvement, QuantisationAware, SelectiveQuantisation
from export.metadata import ArtifactError
from export.onnx.single import ONNX
from export.optimize import optimize
from export.options import Options
from export.record import ExportRecord
from export.tflite import artifacts
from export.tflite import single as tflite
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import build_network
from tests import builders

CLASSES = ("ant", "bee", "cow", "dog")
PREPROCESSING = Preprocessing(8, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=1)
INFO = TaskInfo("animals", CLASSES, PREPROCESSING)
QUICK = Options(measure=False)


def _split(name, network, count, rng):
    """Images with the classes that the network sees in them clearly, each class there."""
    images = rng.integers(0, 256, (10 * count, 8, 8, 3), np.uint8)
    logits = network(PREPROCESSING.normalise(images), training=False).numpy()
    second, first = np.sort(logits, -1)[:, -2:].T
    clear = np.sort(np.argsort(second - first)[:count])  # what int8 does not turn over
    return Split(name, logits[clear].argmax(-1).astype(np.int32), images[clear])


def _like_all_classes(network, rng):
    """Gives a network a classifier under which every class is as frequent.

    Classes are the ends of the two main axes of the features; a random one likes one class best.
    """
    classifier = network.get_layer("classifier")
    features = keras.Model(network.input, classifier.input)
    images = rng.integers(0, 256, (500, 8, 8, 3), np.uint8)
    found = features(PREPROCESSING.normalise(images), training=False).numpy()
    mean = found.mean(0)
    _, lengths, axes = np.linalg.svd(found - mean, full_matrices=False)
    unit = (axes[:2].T / lengths[:2]) * 5 * np.sqrt(len(found))
    kernel = np.concatenate([unit, -unit], -1)
    classifier.set_weights([kernel, -mean @ kernel])


@pytest.fixture(scope="module")
def exportable():
    keras.utils.set_random_seed(8)  # the same network every time: images have to be clear to it
    rng = np.random.default_rng(8)
    small = builders.universal(builders.small_graph(), rng)
    student = builders.random_student(small, Architecture.full(4, 2), rng, len(CLASSES))
    compacted = compact(student)
    _like_all_classes(compacted, rng)
    teacher = build_network(small.graph, len(CLASSES))
    logits = keras.Model(teacher.input, teacher.output["logits"])
    return Exportable(INFO, compacted, logits)


@pytest.fixture(scope="module")
def task(exportable):
    rng = np.random.default_rng(9)
    splits = {
        name: _split(name, exportable.network, count, rng)
        for name, count in (("train", 300), ("validation", 50), ("test", 150))
    }
    assert set(splits["train"].labels) == set(range(4))
    return Task(INFO, **splits)


@pytest.fixture(scope="module")
def published(exportable, task, tmp_path_factory):
    options = Options(precisions=("float32", "int8"), keep_versions=2, max_accuracy_drop=10)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(benchmark, "TURN_SECONDS", 0.0)  # a call each
        return exporter.export(exportable, task, tmp_path_factory.mktemp("exports"), options)


def test_everything_is_published(published):
    assert published.version == 1
    names = {path.name for path in published.files.iterdir()}
    assert names == {
        "float32.tflite",
        "int8.tflite",
        "float32.onnx",
        "benchmark.svg",
        "export.json",
        "summary.md",
    }
    assert (published.model / "saved_model.pb").exists()
    assert (published.model / "assets.extra" / "tf_serving_warmup_requests").exists()
    serving = published.model.parents[1]
    assert {path.name for path in serving.iterdir()} == {
        "animals",
        "models.config",
        "batching.config",
        "monitoring.config",
        "compose.yaml",
    }


def test_record(published, task):
    record = json.loads((published.files / "export.json").read_text())
    assert list(record) == [
        "task",
        "split",
        "options",
        "bytes",
        "gzip_bytes",
        "parity",
        "quantisation_aware",
        "selective",
        "benchmark",
        "pack",
        "sha256",
    ]
    again = ExportRecord.from_dict(record)
    assert json.loads(json.dumps(again.as_dict())) == record
    assert again.summary() == published.summary
    assert record["split"] == "test"
    assert set(record["parity"]) == set(record["bytes"])
    for name in ("saved_model", "onnx", "tflite float32"):
        result = record["parity"][name]
        assert result["images"] == 150
        assert result["agreement"] == result["accuracy"] == result["expected_accuracy"] == 1.0
        assert 0 < result["max_difference"] < 1e-4
    path = published.files / "int8.tflite"
    assert record["bytes"]["tflite int8"] == path.stat().st_size
    logits = formats.load(path).logits(task.test.images)
    accuracy = np.mean(logits.argmax(-1) == task.test.labels)
    assert record["parity"]["tflite int8"]["accuracy"] == pytest.approx(accuracy)


def test_benchmark_measures_tailored_and_teacher(published):
    record = json.loads((published.files / "export.json").read_text())
    results = [benchmark.Result(**result) for result in record["benchmark"]]
    networks = {(r.network, r.artifact) for r in results}
    artifacts = ("saved_model", "onnx", "tflite float32", "tflite int8")
    assert networks >= {(n, a) for n in ("tailored", "teacher") for a in artifacts}
    assert {(r.batch, r.threads) for r in results if r.artifact == "onnx"} == {
        (batch, threads) for batch in (1, 32) for threads in (1, 2)
    }
    for result in results:
        assert 0 < result.median <= result.p90 * 1.0001
        assert result.bytes > 0
    ratios = benchmark.ratios(results)
    assert len(ratios) == len(results) / 2
    assert f"{ratios['onnx', 1, 1]:.2f}" in published.summary


def test_old_versions_go(exportable, task, published):
    folder = published.files.parents[2]
    options = dataclasses.replace(QUICK, formats=("saved_model",), keep_versions=2)
    for version in (2, 3):
        assert exporter.export(exportable, task, folder, options).version == version
    for kind in ("files", "serving"):
        names = sorted(path.name for path in (folder / kind / "animals").iterdir())
        assert names == ["2", "3"]


def test_numbers_of_files_and_models_stay_the_same(exportable, task, tmp_path):
    options = dataclasses.replace(QUICK, formats=("saved_model",))
    exporter.export(exportable, task, tmp_path, options)
    shutil.rmtree(tmp_path / "files")
    published = exporter.export(exportable, task, tmp_path, options)
    assert (published.version, published.files.name, published.model.name) == (2, "2", "2")


def test_formats_that_are_not_asked_for(exportable, task, tmp_path):
    options = dataclasses.replace(QUICK, formats=("tflite",), precisions=("float16",))
    published = exporter.export(exportable, task, tmp_path, options)
    assert published.model is None
    assert {path.name for path in published.files.iterdir()} == {
        "float16.tflite",
        "export.json",
        "summary.md",
    }
    assert not (tmp_path / "serving").exists()


def test_nothing_is_published_that_is_off(exportable, task, tmp_path, monkeypatch):
    def broken(model):
        changed = keras.models.clone_model(model)
        changed.set_weights([np.float32(w) * 1.01 for w in model.get_weights()])
        return changed

    monkeypatch.setattr(format_module, "fold", broken)
    with pytest.raises(parity.ParityError, match="saved_model is not what was trained"):
        exporter.export(exportable, task, tmp_path, QUICK)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
class TestTrainingWithQuantisation:
    """Where int8 loses too much; the training itself is in test_optimize.py."""

    @pytest.fixture(autouse=True)
    def _poor_int8(self, monkeypatch):
        find = artifacts.calibration_images
        monkeypatch.setattr(
            artifacts, "calibration_images", lambda task: (image / 50 for image in find(task))
        )

    def test_better_one_is_kept(self, exportable, task, tmp_path, monkeypatch):
        jobs = []

        def trained(network, task, job, *, fixed):
            jobs.append(job)
            return tflite.convert(network, "float16")  # as good as a training can be

        monkeypatch.setattr(optimize, "quantise", trained)
        options = dataclasses.replace(QUICK, formats=("tflite",), precisions=("int8",))
        published = exporter.export(exportable, task, tmp_path, options)
        record = json.loads((published.files / "export.json").read_text())
        assert [job.method for job in jobs] == ["quantise"]
        won = record["quantisation_aware"]
        assert won["before"] < won["after"] == won["expected"] == 1.0
        assert record["parity"]["tflite int8"]["accuracy"] >= 0.99
        assert "int8 was trained with quantisation" in published.summary

    def test_worse_one_is_not(self, exportable, task, tmp_path, monkeypatch):
        def trained(network, task, job, *, fixed):
            upside_down = keras.models.clone_model(network)
            upside_down.set_weights([-np.asarray(w) for w in network.weights])
            return tflite.convert(upside_down, "float16")

        monkeypatch.setattr(optimize, "quantise", trained)
        options = dataclasses.replace(
            QUICK, formats=("tflite",), precisions=("int8",), max_accuracy_drop=5.0
        )
        options_of_all = dataclasses.replace(options, max_accuracy_drop=100.0)
        with pytest.raises(parity.ParityError, match=r"tflite int8.*accuracy falls by"):
            exporter.export(exportable, task, tmp_path, options)
        published = exporter.export(exportable, task, tmp_path, options_of_all)
        assert (
            json.loads((published.files / "export.json").read_text())["quantisation_aware"] is None
        )


def test_validation_images_stand_in_for_withheld_labels(exportable, task, tmp_path):
    options = dataclasses.replace(QUICK, formats=("onnx",))
    without = dataclasses.replace(task, test=None)
    published = exporter.export(exportable, without, tmp_path, options)
    record = json.loads((published.files / "export.json").read_text())
    assert record["split"] == "validation"
    assert record["parity"]["onnx"]["images"] == 50


def test_validation_images_decide_about_improvements(exportable, task, tmp_path, monkeypatch):
    """Test images are there to report on."""
    decided = []

    class Curious(ONNX):
        def improve(self, path, subject, compare):
            decided.append(compare(path))
            mixed = SelectiveQuantisation(1.0, 0.5, 0.625, ("block3_conv",))
            return Improvement(mixed, QuantisationAware(1.0, 0.5, 0.75))

    family = dataclasses.replace(formats.FAMILIES["onnx"], formats=lambda options: [Curious()])
    monkeypatch.setitem(formats.FAMILIES, "onnx", family)
    labels = (task.validation.labels + 1) % len(CLASSES)  # the network is never right on these
    validation = dataclasses.replace(task.validation, labels=labels)
    options = dataclasses.replace(QUICK, formats=("onnx",))
    published = exporter.export(
        exportable, dataclasses.replace(task, validation=validation), tmp_path, options
    )
    (found,) = decided
    assert (found.images, found.accuracy, found.expected_accuracy) == (50, 0.0, 0.0)
    record = json.loads((published.files / "export.json").read_text())
    assert (record["parity"]["onnx"]["images"], record["parity"]["onnx"]["accuracy"]) == (150, 1.0)
    assert record["quantisation_aware"] == {"expected": 1.0, "before": 0.5, "after": 0.75}
    accuracies = {"expected": 1.0, "before": 0.5, "after": 0.625}
    assert record["selective"] == {**accuracies, "layers": ["block3_conv"]}
    assert "block3_conv of the int8 file stayed float" in published.summary
    assert ExportRecord.from_dict(record).summary() == published.summary
    assert "on validation 50.00 % before and 75.00 % after, 100.00 %" in published.summary


def test_class_without_an_image_to_calibrate_with(exportable, task, tmp_path):
    options = dataclasses.replace(QUICK, formats=("tflite",), precisions=("int8",))
    positions = np.flatnonzero(task.train.labels != 2)
    poor = dataclasses.replace(task, train=task.train.select(positions, "train"))
    with pytest.raises(ArtifactError, match="'cow' has no training image to calibrate"):
        exporter.export(exportable, poor, tmp_path, options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def _with_info(task, **changes):
    return dataclasses.replace(task, info=dataclasses.replace(task.info, **changes))


def test_images_of_another_task(exportable, task, tmp_path):
    other = _with_info(task, classes=("a", "b", "c", "d"))
    with pytest.raises(ArtifactError, match="Name the task that it was tailored to"):
        exporter.export(exportable, other, tmp_path, QUICK)
    large = dataclasses.replace(PREPROCESSING, resize=10)
    other = _with_info(task, preprocessing=large)
    with pytest.raises(
        ArtifactError, match="expects images of 8 pixels, made square by 'crop'; received 10"
    ):
        exporter.export(exportable, other, tmp_path, QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("onnx", "coreml")}, "Unknown formats coreml; known are saved_model, onnx"),
        ({"precisions": ("int4",)}, "Unknown precisions int4; known are float32"),
        ({"formats": ()}, "No formats; expected some of"),
        ({"keep_versions": 0}, "keep_versions is 0; expected 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArtifactError, match=message):
        Options(**options)
