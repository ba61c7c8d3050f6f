"""Artifacts that were altered after their export, or that are none: refused before they are run."""

import dataclasses
import json
import os
import random
import shutil
import struct
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from export import exporter, formats, integrity
from export.exportable import Exportable
from export.metadata import ArtifactError
from export.options import Options
from export.saved_model import single as saved_model
from export.serving import client
from export.tflite import single as tflite
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.network.architecture import Architecture
from tailor_tf.support.files import FileKindError
from tests.builders import random_student
from tests.export.pretend import INFO, images_of
from tests.fuzz import mutation


@pytest.fixture(scope="module")
def exportable(small):
    student = random_student(small, Architecture.full(4, 2), np.random.default_rng(0), 3)
    return Exportable(INFO, compact(student))


@pytest.fixture(scope="module")
def published(exportable, tmp_path_factory):
    options = Options(precisions=("float32",), measure=False)
    folder = tmp_path_factory.mktemp("exports")
    return exporter.export(exportable, images_of(INFO), folder, options)


@pytest.fixture(params=["float32.tflite", "float32.onnx", "model"])
def artifact(published, request, tmp_path):
    """A copy of an artifact with its record."""
    is_model = request.param == "model"
    shutil.copytree(published.model if is_model else published.files, tmp_path / "1")
    return tmp_path / "1" if is_model else tmp_path / "1" / request.param


@pytest.fixture
def model(published, tmp_path):
    """A copy of the SavedModel."""
    return shutil.copytree(published.model, tmp_path / "1")


def test_whole_ones(artifact):
    assert formats.load(artifact).info == INFO


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_altered_ones(artifact, place):
    files = [path for path in artifact.rglob("*") if path.is_file()] or [artifact]
    path = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{path} was altered or cut short: its SHA-256 is"):
        client.local(artifact)


@pytest.mark.parametrize("kind", mutation.OF_FOLDERS)
def test_a_damaged_model_is_not_loaded(published, tmp_path, kind, monkeypatch):
    """Damage of each file, but for the record, which may lose what is no checksum."""
    monkeypatch.setattr(saved_model, "loaded", lambda path: pytest.fail("It was loaded."))
    model = published.model
    names = [path.relative_to(model) for path in model.rglob("*") if path.is_file()]
    assert len(names) >= 8
    for number, name in enumerate(name for name in names if name.name != "export.json"):
        copy = shutil.copytree(model, tmp_path / str(number) / "1")
        mutation.OF_FOLDERS[kind](random.Random(number), copy, copy / name)
        with pytest.raises(ArtifactError):
            formats.load(copy)


def test_missing_file_of_a_model(model):
    (model / "variables" / "variables.index").unlink()
    with pytest.raises(ArtifactError, match=r"variables.index cannot be read"):
        formats.load(model)


def test_added_file_of_a_model(model):
    (model / "assets" / "more.txt").touch()
    with pytest.raises(ArtifactError, match=r"assets/more.txt was added: .*json does not name it"):
        formats.load(model)


def test_record_that_is_damaged_or_names_other_files(published, tmp_path):
    path = shutil.copy(published.files / "float32.onnx", tmp_path)
    (tmp_path / "export.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"export.json is damaged"):
        formats.load(path)
    (tmp_path / "export.json").write_text(json.dumps({"sha256": {"../a": "0"}}))
    assert formats.load(path).info == INFO
    with pytest.raises(ArtifactError, match=r"it names '../a', outside of it"):
        integrity.check(tmp_path)
    for other in ("[]", "{}", '{"sha256": 3}'):  # of other programs
        (tmp_path / "export.json").write_text(other)
        assert formats.load(path).info == INFO


@pytest.mark.parametrize("name", ["float32.tflite", "float32.onnx"])
@pytest.mark.parametrize("place", [0.2, 0.4])
def test_copies_without_their_record_carry_a_checksum(published, tmp_path, name, place):
    content = bytearray((published.files / name).read_bytes())
    path = tmp_path / name
    path.write_bytes(content)
    assert formats.load(path).info == INFO
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{name} (was altered|holds no metadata)"):
        formats.load(path)


@pytest.mark.parametrize("name", ["a.tflite", "a.onnx"])
def test_pipes(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(FileKindError, match="is a pipe; expected a regular file"):
        formats.load(tmp_path / name)


def test_pipe_in_a_model(model):
    os.mkfifo(model / "fifo")
    with pytest.raises(ArtifactError, match="fifo is no regular file"):
        formats.load(model)


class TestArchives:
    """The zip archive behind a TFLite file."""

    @pytest.fixture
    def network(self, exportable):
        return tflite.convert(fold(exportable.network))

    def written(self, path, network, member):
        path.write_bytes(network)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("metadata.json", member)
        return path

    def test_member_that_grows(self, network, tmp_path):
        path = self.written(tmp_path / "a.tflite", network, b" " * 2**26)
        assert path.stat().st_size < 2**18
        with pytest.raises(ArtifactError, match=r"a.tflite holds no metadata.json"):
            formats.load(path)

    def test_member_that_is_encrypted(self, network, tmp_path):
        path = self.written(tmp_path / "a.tflite", network, b"{}")
        content = bytearray(path.read_bytes())
        flags = content.rindex(b"PK\x01\x02") + 8  # in the central directory
        content[flags : flags + 2] = struct.pack("<H", 1)
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"a.tflite holds no metadata.json"):
            formats.load(path)

    @pytest.mark.parametrize("text", ["[", "[]", "3", '{"name": 3}', "[" * 100_000])
    def test_member_that_describes_no_task(self, network, tmp_path, text):
        with pytest.raises(ArtifactError, match=r"description in .*a.tflite is damaged"):
            formats.load(self.written(tmp_path / "a.tflite", network, text))


class TestNumbersThatAreNone:
    """Values that are not finite are refused, and get no class."""

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_image_of_floats(self, published, value):
        signature = tf.saved_model.load(str(published.model)).signatures["float_images"]
        images = np.full((1, 8, 8, 3), 100, "f4")
        assert np.isfinite(signature(images=tf.constant(images))["scores"]).all()
        images[0, 3, 3, 0] = value
        with pytest.raises(tf.errors.InvalidArgumentError, match="Received an image with such val"):
            signature(images=tf.constant(images))

    def test_scores(self, exportable, tmp_path):
        network = fold(exportable.network)
        network.weights[-1].assign(np.full(3, np.nan))
        saved_model.save(tmp_path / "1", network, INFO)
        signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
        with pytest.raises(tf.errors.InvalidArgumentError, match="Scores that are not finite"):
            signature(images=tf.zeros([1, 8, 8, 3], tf.uint8))

    def test_scores_of_a_file(self, exportable, tmp_path):
        network = fold(exportable.network)
        network.weights[-1].assign(np.full(3, np.nan))
        tflite.save(tmp_path / "a.tflite", tflite.convert(network), INFO)
        png = tf.io.encode_png(np.zeros((8, 8, 3), np.uint8)).numpy()
        with pytest.raises(ArtifactError, match=r"a.tflite answers scores that are no finite"):
            client.local(tmp_path / "a.tflite")([png])


def test_description_with_other_classes_than_the_network(exportable, tmp_path):
    """A stranger's file, with the right checksum."""
    fewer = dataclasses.replace(INFO, classes=INFO.classes[:2])
    network = tflite.convert(fold(exportable.network))
    tflite.save(tmp_path / "a.tflite", network, fewer)
    png = tf.io.encode_png(np.zeros((8, 8, 3), np.uint8)).numpy()
    with pytest.raises(ArtifactError, match=r"a.tflite answers 3 scores for 2 classes"):
        client.local(tmp_path / "a.tflite")([png])


def test_model_without_the_signature(model):
    tf.saved_model.save(tf.Module(), str(model))
    (model / "export.json").unlink()
    (model / "assets").mkdir(exist_ok=True)
    (model / "assets" / "metadata.json").write_text(json.dumps(INFO.as_dict()))
    with pytest.raises(ArtifactError, match="has no signature 'serving_default'"):
        formats.load(model)
