"""Which TFLite files there are, and whether an int8 file is trained with quantisation."""

import dataclasses

import keras
import numpy as np
import pytest

from export.format import Improvement, QuantisationAware, SelectiveQuantisation, Subject
from export.metadata import ArtifactError
from export.optimize import optimize
from export.options import Options
from export.parity import Parity
from export.tflite import artifacts, kernels
from export.tflite.artifacts import TFLite
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.network.architecture import Architecture
from tests.builders import random_student

OPTIONS = Options(max_accuracy_drop=2.0, optimize_epochs=7, integer_io=True)
INFO = TaskInfo(
    "animals", ("ant", "bee"), Preprocessing(8, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0)
)


@pytest.fixture(scope="module")
def subject(small):
    rng = np.random.default_rng(3)
    split = Split("train", np.zeros(1, np.int32), np.zeros((1, 8, 8, 3), np.uint8))
    network = compact(random_student(small, Architecture.full(4, 1), rng, 2))
    return Subject(network, Task(INFO, split, split, split))


def _compare(*accuracies):
    """Comparisons in which a file has these accuracies in turn, and the network 0.9."""
    left = list(accuracies)

    def compare(path):
        return Parity(100, 1.0, 0.1, 5.0, 0.9, left.pop(0), 0.9)

    return compare


@pytest.fixture
def jobs(monkeypatch):
    """Trainings with quantisation, which take no time here: jobs and what they leave alone."""
    done = []

    def quantise(network, task, job, *, fixed):
        done.append((job, fixed))
        return b"trained"

    monkeypatch.setattr(optimize, "quantise", quantise)
    return done


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "int8.tflite"
    path.write_bytes(b"converted")
    return path


def test_a_file_that_loses_little_is_left_as_it_is(path, subject, jobs):
    assert TFLite("int8", OPTIONS).improve(path, subject, _compare(0.8801)) == Improvement()
    assert (path.read_bytes(), jobs) == (b"converted", [])


def test_a_file_that_loses_much_is_trained(path, subject, jobs):
    found = TFLite("int8", OPTIONS).improve(path, subject, _compare(0.8799, 0.885))
    assert found == Improvement(trained=QuantisationAware(0.9, before=0.8799, after=0.885))
    assert path.read_bytes().startswith(b"trained")
    ((job, fixed),) = jobs
    assert (job.method, job.epochs, job.integer_io) == ("quantise", 7, True)
    assert fixed == kernels.universal_convolutions(subject.network) != []


@pytest.mark.parametrize("after", [0.2, 0.5])
def test_the_file_before_is_kept_where_training_does_not_help(path, subject, jobs, after):
    found = TFLite("int8", OPTIONS).improve(path, subject, _compare(0.5, after))
    assert found == Improvement(trained=QuantisationAware(0.9, before=0.5, after=after))
    assert path.read_bytes() == b"converted"
    assert len(jobs) == 1


class TestFloatLayers:
    OPTIONS = dataclasses.replace(OPTIONS, integer_io=False)

    @pytest.fixture(autouse=True)
    def _candidates(self, monkeypatch):
        names = ("first", "second", "third")
        found = [(names[:count], f"{count} float".encode()) for count in (1, 2, 3)]
        monkeypatch.setattr(artifacts, "calibration_images", lambda task: iter(()))
        monkeypatch.setattr(artifacts.selective, "candidates", lambda *args: iter(found))

    @pytest.mark.parametrize(
        ("accuracies", "layers"),
        [((0.5, 0.885), ("first",)), ((0.5, 0.4, 0.885), ("first", "second"))],
    )
    def test_as_few_as_are_enough(self, path, subject, jobs, accuracies, layers):
        found = TFLite("int8", self.OPTIONS).improve(path, subject, _compare(*accuracies))
        mixed = SelectiveQuantisation(0.9, before=0.5, after=accuracies[-1], layers=layers)
        assert found == Improvement(selective=mixed)
        assert path.read_bytes().startswith(f"{len(layers)} float".encode())
        assert jobs == []

    def test_trained_where_they_are_not_enough(self, path, subject, jobs):
        compare = _compare(0.5, 0.6, 0.8, 0.7, 0.89)
        found = TFLite("int8", self.OPTIONS).improve(path, subject, compare)
        assert found == Improvement(trained=QuantisationAware(0.9, before=0.8, after=0.89))
        assert path.read_bytes().startswith(b"trained")

    def test_kept_where_training_is_worse(self, path, subject, jobs):
        compare = _compare(0.5, 0.6, 0.8, 0.7, 0.75)
        found = TFLite("int8", self.OPTIONS).improve(path, subject, compare)
        assert found.selective.layers == ("first", "second")
        assert found.trained == QuantisationAware(0.9, before=0.8, after=0.75)
        assert path.read_bytes().startswith(b"2 float")

    def test_no_help_at_all(self, path, subject, jobs):
        compare = _compare(0.5, 0.5, 0.4, 0.3, 0.2)
        found = TFLite("int8", self.OPTIONS).improve(path, subject, compare)
        assert found == Improvement(trained=QuantisationAware(0.9, before=0.5, after=0.2))
        assert path.read_bytes() == b"converted"


@pytest.mark.parametrize(
    ("precision", "variant"), [("float32", ""), ("dynamic", ""), ("int8", "sparse")]
)
def test_other_files_are_not_even_compared(path, subject, jobs, precision, variant):
    found = TFLite(precision, OPTIONS, variant).improve(path, subject, _compare())
    assert found == Improvement()
    assert jobs == []


def test_a_network_that_cannot_be_trained_is_left_to_its_limits(path, subject, jobs):
    x = keras.Input((8, 8, 3))
    odd = keras.Model(x, keras.layers.Conv2DTranspose(4, 3)(x))
    odd = dataclasses.replace(subject, network=odd)
    assert TFLite("int8", OPTIONS).improve(path, odd, _compare(0.1)) == Improvement()
    assert jobs == []


def test_a_training_serves_all_precisions(subject, monkeypatch):
    trained = []

    def compress(network, task, job):
        trained.append((job.method, job.amount, job.epochs))
        return network

    monkeypatch.setattr(optimize, "compress", compress)
    monkeypatch.setattr(artifacts.single, "convert", lambda *args, **kwargs: b"")
    monkeypatch.setattr(artifacts.single, "save", lambda *args: None)
    options = Options(
        formats=("tflite",), precisions=("float32", "dynamic"), sparsity=0.5, clusters=16
    )
    files = options.artifacts()
    assert [each.file_name for each in files] == [
        f"{variant}{precision}.tflite"
        for variant in ("", "sparse_", "clustered_")
        for precision in ("float32", "dynamic")
    ]
    for each in files:
        each.write(None, subject)
    assert trained == [("sparsify", 0.5, 3), ("cluster", 16, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, r"sparsity is 1.0; expected a share between"),
        ({"clusters": 1}, "clusters is 1; expected 2 to 256"),
    ],
)
def test_trainings_that_cannot_be_are_refused_with_the_options(options, message):
    with pytest.raises(ArtifactError, match=message):
        Options(**options)


def test_kernels_of_a_teacher_need_not_be_recognised(subject):
    teacher = dataclasses.replace(subject, keeps_kernels=False)
    names = {layer.name for layer in TFLite("float32", OPTIONS)._network(teacher).layers}
    assert not names & set(kernels.universal_convolutions(subject.network))
    names = {layer.name for layer in TFLite("float32", OPTIONS)._network(subject).layers}
    assert names >= set(kernels.universal_convolutions(subject.network))
