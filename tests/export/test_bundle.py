"""A bundle's artifacts answer as its tasks do; what is missing is said first."""

import dataclasses
import zipfile

import numpy as np
import pytest
from PIL import Image

from export import bundle, exportable, formats
from export.metadata import ArtifactError
from export.serving import client
from export.tflite import single as tflite
from export.tflite.kernels import folded
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tests.bundle import bundle_packs
from tests.programs import program

TASKS = ("vehicles", "birds")
FORMATS = ("saved_model", "onnx", "tflite")


pytestmark = pytest.mark.usefixtures("known_small")


@pytest.fixture(scope="module")
def paths(small, tmp_path_factory):
    return bundle_packs.write(tmp_path_factory.mktemp("packs"), small)


@pytest.fixture(scope="module")
def store(paths, small, tmp_path_factory):
    packs = [read_pack(paths[name], small) for name in TASKS]
    return BundleStore.create(tmp_path_factory.mktemp("bundles") / "two", small, packs)


@pytest.fixture(scope="module")
def exports(paths, small, tmp_path_factory):
    """A folder with the TFLite files of the tasks alone, two versions of one of them."""
    folder = tmp_path_factory.mktemp("exports")
    rng = np.random.default_rng(0)
    for name, version in (("vehicles", 2), ("birds", 1)):
        exported = exportable.from_task_pack(paths[name], small)
        network = folded(exported.network, "int8")
        samples = rng.normal(size=(8, 1, *network.input.shape[1:])).astype(np.float32)
        path = folder / "files" / name / str(version) / "int8.tflite"
        path.parent.mkdir(parents=True)
        tflite.save(path, tflite.convert(network, "int8", representative=samples), exported.info)
        if name == "vehicles":
            older = path.parents[1] / "1" / path.name
            older.parent.mkdir()
            tflite.save(older, b"an older one", exported.info)
    return folder


@pytest.fixture(scope="module")
def made(store, exports):
    """The bundle's artifacts, by `FORMATS`."""
    return bundle.export(store, exports, formats=FORMATS)


def test_every_format_answers_as_the_tasks_do(made, store, exports, paths, small, rng):
    names = [str(path.relative_to(exports)) for path in made]
    assert names == ["serving/tasks/1", "onnx/1", "tflite/1"]
    served, sessions = map(formats.load_shared, made[:2])
    one_file = formats.load_shared(made[2] / "int8.tflite")
    newest = {"vehicles": "2", "birds": "1"}
    assert set(sessions) == set(one_file) == set(TASKS)
    for name, task in store.load().items():
        side = task.info.preprocessing.resize
        images = rng.integers(0, 256, (3, side, side, 3), np.uint8)
        expected = bundle_packs.alone(paths[name], small)(images)
        np.testing.assert_allclose(served[name].logits(images), expected, atol=1e-5)
        np.testing.assert_allclose(sessions[name].logits(images), expected, atol=1e-5)
        alone = formats.load(exports / "files" / name / newest[name] / "int8.tflite")
        for image in images:
            own = alone.logits(image[None])
            np.testing.assert_array_equal(one_file[name].logits(image[None]), own)


def test_images_are_classified_for_one_of_many_tasks(made, store, paths, small, tmp_path, rng):
    image = tmp_path / "image.png"
    info = store.load()["birds"].info
    side = info.preprocessing.resize
    pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(image)
    logits = bundle_packs.alone(paths["birds"], small)(pixels[None])[0]
    likeliest = info.classes[logits.argmax()]
    for path in (*made[:2], made[2] / "int8.tflite"):
        ((_, answer),) = client.classify([image], client.local(path, "birds"))
        assert answer.class_name == likeliest
        with pytest.raises(ArtifactError, match="has no task 'fish'; it has birds, vehicles"):
            client.local(path, "fish")
    status, output = program("predict", f"--artifact={path}", "--name=birds", str(image))
    assert status == 0 and f"{image}\t{likeliest}\t" in output, output
    for path in (*made[:2], made[2] / "int8.tflite"):
        with pytest.raises(ArtifactError, match=r"of many tasks.* name of one"):
            client.local(path)
    with pytest.raises(ArtifactError, match=r"There is no artifact .*none; pipelines.bundle"):
        client.local(tmp_path / "none", "birds")
    image.rename(tmp_path / "birds.onnx")
    with pytest.raises(ArtifactError, match="is of one task; leave out the name 'birds'"):
        client.local(tmp_path / "birds.onnx", "birds")


def test_a_task_without_a_file_of_its_own_is_named_before_anything_is_made(store, tmp_path):
    with pytest.raises(
        ArtifactError, match=r"no .*vehicles.*int8.tflite.*pipelines.export for veh"
    ):
        bundle.export(store, tmp_path / "new", formats=FORMATS)
    assert not list(tmp_path.rglob("*.pb"))


def test_a_file_of_another_task_is_refused(store, exports, tmp_path):
    for name, other in (("vehicles", "birds"), ("birds", "birds")):
        target = tmp_path / "files" / name / "1" / "int8.tflite"
        target.parent.mkdir(parents=True)
        target.write_bytes((exports / "files" / other / "1" / "int8.tflite").read_bytes())
    with pytest.raises(
        ArtifactError, match="other classes or preprocessing than the task vehicles"
    ):
        bundle.export(store, tmp_path, formats=("tflite",))


def copied(source, target, **changes):
    """Writes a TFLite file anew, with another description of its task."""
    content = source.read_bytes()
    with zipfile.ZipFile(source) as archive:
        network = content[: archive.infolist()[0].header_offset]
    target.parent.mkdir(parents=True, exist_ok=True)
    tflite.save(target, network, dataclasses.replace(tflite.read_info(source), **changes))


class TestFilesOfOwnPacks:
    """A bundle's TFLite file is made of files of the packs in the bundle, whatever their names."""

    @pytest.fixture
    def own(self, exports, tmp_path):
        for name, version in (("vehicles", "2"), ("birds", "1")):
            copied(self.file(exports, name, version), self.file(tmp_path, name, "1"))
        return tmp_path

    def file(self, folder, name, version):
        return folder / "files" / name / version / "int8.tflite"

    def test_a_newer_file_of_another_run(self, store, own, paths, small):
        copied(self.file(own, "vehicles", "1"), self.file(own, "birds", "2"), pack="f" * 64)
        (made,) = bundle.export(store, own, formats=("tflite",))
        expected = formats.load(self.file(own, "birds", "1"))
        images = np.full((1, 10, 10, 3), 100, np.uint8)
        received = formats.load(made / "int8.tflite", task="birds").logits(images)
        np.testing.assert_array_equal(received, expected.logits(images))

    @pytest.mark.parametrize(
        ("pack", "message"),
        [
            (
                "f" * 64,
                r"task pack ffffffffffffffff, and the task birds of the bundle has the pack",
            ),
            (None, r"birds/1/int8.tflite was made of a pack that it does not name"),
        ],
    )
    def test_files_of_another_run_alone(self, store, own, pack, message):
        copied(self.file(own, "birds", "1"), self.file(own, "birds", "1"), pack=pack)
        with pytest.raises(ArtifactError, match=rf"{message}.*pipelines.export for birds"):
            bundle.export(store, own, formats=("tflite",))
        assert not (own / "tflite").exists()

    def test_tasks_under_other_names(self, own, paths, small, tmp_path):
        packs = [read_pack(paths[name], small, f"my-{name}") for name in TASKS]
        renamed = BundleStore.create(tmp_path / "renamed", small, packs)
        made = bundle.export(renamed, own, formats=("onnx", "tflite"))
        images = np.full((1, 8, 8, 3), 100, np.uint8)
        expected = bundle_packs.alone(paths["vehicles"], small)(images)
        for path in (made[0], made[1] / "int8.tflite"):
            tasks = formats.load_shared(path)
            assert set(tasks) == {"my-vehicles", "my-birds"}
            exact = path.suffix != ".tflite"
            received = tasks["my-vehicles"].logits(images)
            np.testing.assert_allclose(received, expected, atol=1e-5 if exact else 0.5)

    def test_damaged_file(self, store, own):
        path = self.file(own, "birds", "1")
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ArtifactError, match=r"birds/1/int8.tflite holds no metadata.json"):
            bundle.export(store, own, formats=("tflite",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("tflite", "coreml")}, "formats coreml; known are saved_model, onnx, tflite"),
        ({"precisions": ("int4",)}, "precisions int4; known are int8, float32, float16"),
        ({"formats": ()}, "No formats; expected some of saved_model, onnx, tflite"),
        ({"precisions": ()}, "No precisions; expected some of int8, float32, float16"),
    ],
)
def test_what_is_unknown(store, tmp_path, options, message):
    with pytest.raises(ArtifactError, match=message):
        bundle.export(store, tmp_path, **options)
