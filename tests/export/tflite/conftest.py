"""The networks and TFLite files of three tasks, alone and together."""

import pytest

from export.tflite import kernels as tflite_kernels
from export.tflite import shared as shared_tflite
from tests.export.tflite.three_tasks import CLASSES, info, make_student, make_universal, save


@pytest.fixture(scope="module")
def universal():
    return make_universal(3)


@pytest.fixture(scope="module")
def students(universal):
    return {name: make_student(universal, name, seed) for seed, name in enumerate(CLASSES)}


class _Made(dict):
    """Values by key, each made when it is first asked for: a file takes a second."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, key):
        self[key] = self.make(key)
        return self[key]


@pytest.fixture(scope="module")
def artifacts(students, tmp_path_factory):
    """The tasks' own files, by precision and task."""
    folder = tmp_path_factory.mktemp("artifacts")

    def make(precision):
        return {
            name: save(
                folder / f"{precision}_{place}.tflite",
                tflite_kernels.folded(network, precision),
                precision,
                info(name),
            )
            for place, (name, network) in enumerate(students.items())
        }

    return _Made(make)


@pytest.fixture(scope="module")
def shared(artifacts, universal, tmp_path_factory):
    """The files of all tasks, by precision."""
    folder = tmp_path_factory.mktemp("shared")

    def make(precision):
        shared_tflite.write(folder / f"{precision}.tflite", artifacts[precision], universal)
        return folder / f"{precision}.tflite"

    return _Made(make)
