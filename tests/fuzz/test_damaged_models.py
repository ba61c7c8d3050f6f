"""Damaged SavedModels: refused before TensorFlow, which runs what is in them, loads anything."""

import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from export import exportable, formats
from export.metadata import ArtifactError
from export.saved_model import requests
from export.saved_model import single as saved_model
from tailor_tf.method.folding import fold
from tailor_tf.support.versions import RECORD, Versions
from tests.bundle import bundle_packs
from tests.fuzz import mutation
from tests.fuzz.watching import watched

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("known_small")]


class Loaded(BaseException):
    """TensorFlow was asked to load a model; no handler of errors catches it."""


@pytest.fixture(scope="module")
def model(small, tmp_path_factory):
    """A published version of a SavedModel; read-only."""
    folder = tmp_path_factory.mktemp("models")
    pack = bundle_packs.write(folder, small)["birds"]
    exported = exportable.from_task_pack(pack, small)

    def write(content):
        saved_model.save(content, fold(exported.network), exported.info)
        requests.write_warm_up(content, "birds", np.zeros((10, 10, 3), np.uint8))

    return Versions(folder / "serving" / "birds").publish(write, keep=1)


def test_models(model, tmp_path, monkeypatch):
    """What is altered in the record may leave the checksums in it as they are, or all out."""

    def load(path):
        raise Loaded

    monkeypatch.setattr(tf.saved_model, "load", load)
    refused = 0
    for seed in range(1000):
        (tmp_path / str(seed)).mkdir()
        copy = shutil.copytree(model, tmp_path / str(seed) / "1")
        path = mutation.of_folder(random.Random(seed), copy)
        try:
            with watched(copy):
                formats.load(copy)
        except ArtifactError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
        except Loaded:
            assert path == copy / RECORD
        shutil.rmtree(copy.parent)
    assert refused > 900
