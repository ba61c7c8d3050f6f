"""The registry of formats: an entry is all that a format needs to be exported and used."""

import json
import sys
import types

import pytest
from PIL import Image

from export import bundle, exporter, formats, parity
from export.exportable import Exportable
from export.metadata import ArtifactError
from export.options import Options
from export.serving import client
from tailor_tf.method.compaction import compact
from tailor_tf.network.architecture import Architecture
from tailor_tf.support.extras import MissingPackageError
from tests.builders import random_student
from tests.export.pretend import FAMILY, INFO, Pretend, images_of
from tests.export.shared_tasks import assert_same_logits, own_logits, pixels, random_tasks


@pytest.fixture
def _registered(monkeypatch):
    monkeypatch.setitem(formats.FAMILIES, FAMILY.name, FAMILY)


@pytest.fixture
def task():
    return images_of(INFO)


@pytest.fixture
def exportable(small, rng):
    return Exportable(INFO, compact(random_student(small, Architecture.full(4, 2), rng, 3)))


@pytest.mark.usefixtures("_registered")
class TestPretendFormat:
    """An entry of the registry is enough."""

    def test_it_is_among_those_that_are_exported_by_default(self):
        assert Options().formats == ("saved_model", "onnx", "tflite", "pretend")
        assert bundle.default_formats() == ("saved_model", "onnx", "pretend")

    def test_it_is_exported_compared_recorded_and_used(self, exportable, task, tmp_path):
        options = Options(formats=("pretend",), measure=False)
        published = exporter.export(exportable, task, tmp_path / "exports", options)
        names = {path.name for path in published.files.iterdir()}
        assert names == {"network.keras", "export.json", "summary.md"}
        record = json.loads((published.files / "export.json").read_text())
        assert record["parity"]["pretend"]["agreement"] == 1.0
        assert "| pretend " in published.summary
        image = tmp_path / "image.png"
        Image.fromarray(task.test.images[0]).save(image)
        logits = exportable.network(INFO.preprocessing.normalise(task.test.images[:1])).numpy()
        classifier = client.local(published.files / "network.keras")
        ((_, answer),) = client.classify([image], classifier)
        assert answer.class_name == INFO.classes[logits[0].argmax()]

    def test_one_that_is_off_is_not_published(self, exportable, task, tmp_path, monkeypatch):
        monkeypatch.setattr(Pretend, "limits", parity.Limits(max_accuracy_drop=-1.0))
        with pytest.raises(parity.ParityError, match="pretend is not what was trained"):
            exporter.export(
                exportable, task, tmp_path, Options(formats=("pretend",), measure=False)
            )
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_it_is_exported_for_a_whole_bundle(self, small, tmp_path):
        tasks = random_tasks(small)
        store = types.SimpleNamespace(load=lambda: tasks)
        (made,) = bundle.export(store, tmp_path, formats=("pretend",))
        assert made == tmp_path / "pretend" / "1"
        images = pixels(tasks["animals"])
        received = formats.load(made, task="animals").logits(images)
        assert_same_logits(received, own_logits(tasks["animals"], images))

    def test_messages_name_it(self, tmp_path):
        with pytest.raises(ArtifactError, match=r"known are saved_model, onnx, tflite, pretend"):
            Options(formats=("npz",))
        (tmp_path / "a.npz").touch()
        with pytest.raises(ArtifactError, match=r"is no artifact; expected .* or a \.keras file"):
            formats.load(tmp_path / "a.npz")


def test_names_are_those_of_the_families():
    for name, family in formats.FAMILIES.items():
        assert family.name == name
        assert family.shared is None or family.shared.name == name


def test_one_artifact_of_an_export_is_served_at_most():
    artifacts = Options(sparsity=0.5, clusters=16).artifacts()
    assert [each.name for each in artifacts if each.is_served] == ["saved_model"]


def test_artifacts_have_names_of_their_own():
    artifacts = Options(sparsity=0.5, clusters=16).artifacts()
    names = [each.name for each in artifacts]
    assert names[:4] == ["saved_model", "onnx", "tflite float32", "tflite float16"]
    assert names[-1] == "tflite int8 clustered"
    assert len({each.file_name for each in artifacts}) == len(set(names)) == len(names) == 2 + 3 * 4


@pytest.mark.parametrize(
    ("module", "form", "extra"),
    [
        ("tf2onnx", "onnx", "export"),
        ("ai_edge_litert", "tflite", "export"),
        ("tensorflow_serving", "saved_model", "serving"),
    ],
)
def test_formats_whose_packages_are_missing(
    module, form, extra, exportable, task, small, monkeypatch, tmp_path
):
    """Nothing is made; other formats do not need the package."""
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"{module} is not installed; .*tailor_tf\[{extra}\]"
    with pytest.raises(MissingPackageError, match=message):
        exporter.export(exportable, task, tmp_path, Options(formats=(form,)))
    store = types.SimpleNamespace(load=lambda: random_tasks(small))
    with pytest.raises(MissingPackageError, match=message):
        bundle.export(store, tmp_path, formats=(form,))
    formats.require([name for name in formats.FAMILIES if name != form])
    assert not list(tmp_path.iterdir())


def test_of_one_task_or_of_many(tmp_path):
    (tmp_path / "a.onnx").touch()
    with pytest.raises(ArtifactError, match=r"a\.onnx is no artifact of many tasks"):
        formats.load_shared(tmp_path / "a.onnx")
    with pytest.raises(ArtifactError, match=r"a\.bin is no artifact; expected"):
        (tmp_path / "a.bin").touch()
        formats.load(tmp_path / "a.bin", task="animals")
    with pytest.raises(ArtifactError, match="is no artifact; expected"):
        formats.load(tmp_path, task="a")  # files of one task, with nothing to share
