"""Versions of one name are of one task, and a bundle takes the files of its own packs."""

import dataclasses
import json

import pytest
from PIL import Image

from export import bundle, exporter, formats
from export.exportable import from_task_pack
from export.lineage import LineageError
from export.options import Options
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tailor_tf.data.sources import load_task
from tailor_tf.method.task_pack import TailoredTask, load_task_pack, save_task_pack
from tailor_tf.network import weights
from tailor_tf.support.files import FileKindError, sha256
from tailor_tf.support.names import TaskNameError
from tests.bundle import bundle_packs
from tests.export.pretend import FAMILY, images_of
from tests.support import kinds


@pytest.fixture(scope="module", autouse=True)
def _known(known_small):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(formats.FAMILIES, FAMILY.name, FAMILY)
        yield


@pytest.fixture(scope="module")
def options(_known):
    return Options(formats=(FAMILY.name,), measure=False, keep_versions=1)


@pytest.fixture(scope="module")
def paths(small, tmp_path_factory):
    return bundle_packs.write(tmp_path_factory.mktemp("packs"), small)


@pytest.fixture(scope="module")
def exportables(paths, small):
    return {name: from_task_pack(path, small) for name, path in paths.items()}


def publish(exportable, folder, options, **changes):
    """Exports a task under a changed description."""
    info = dataclasses.replace(exportable.info, **changes)
    changed = dataclasses.replace(exportable, info=info)
    return exporter.export(changed, images_of(info), folder, options)


def test_pack_of_an_artifact(exportables, paths, options, tmp_path):
    published = publish(exportables["birds"], tmp_path, options)
    expected = sha256(paths["birds"])
    record = json.loads((published.files / "export.json").read_text())
    assert record["pack"] == expected
    assert formats.load(published.files / "network.keras").info.pack == expected


class TestOneTask:
    @pytest.fixture
    def first(self, exportables, options, tmp_path):
        publish(exportables["birds"], tmp_path, options, name="images", source="shop A")
        return kinds.content(tmp_path)

    @pytest.mark.parametrize(
        ("task", "changes", "message"),
        [
            ("vehicles", {}, r"images/1 is of another task of the name images: 5 classes 'crow'"),
            ("birds", {"source": "shop B"}, r"images shop A; this one has 5 .*, images shop B"),
            ("birds", {"classes": ("rook", "crow", "emu", "owl", "swan")}, r"has 5 classes 'rook'"),
        ],
    )
    def test_another_task_of_the_same_name(
        self, exportables, options, tmp_path, first, task, changes, message
    ):
        with pytest.raises(LineageError, match=rf"{message}.*--name.*--supersede"):
            publish(exportables[task], tmp_path, options, name="images", **changes)
        assert kinds.content(tmp_path) == first

    def test_another_name(self, exportables, options, tmp_path, first):
        publish(exportables["vehicles"], tmp_path, options, name="shopB")
        assert first.items() <= kinds.content(tmp_path).items()

    def test_its_place_if_asked_for(self, exportables, options, tmp_path, first):
        options = dataclasses.replace(options, supersede=True)
        published = publish(exportables["vehicles"], tmp_path, options, name="images")
        assert published.version == 2

    def test_the_next_version_of_the_same_task(self, exportables, options, tmp_path, first):
        changes = {"name": "images", "source": "shop A", "pack": "f" * 64}  # tailored again
        assert publish(exportables["birds"], tmp_path, options, **changes).version == 2
        assert [path.name for path in (tmp_path / "files" / "images").iterdir()] == ["2"]

    def test_versions_that_do_not_say_their_origin(self, exportables, options, tmp_path):
        """Artifacts of earlier versions of this project."""
        changes = {"name": "images", "source": None, "pack": None}
        publish(exportables["birds"], tmp_path, options, **changes)
        assert publish(exportables["birds"], tmp_path, options, name="images").version == 2
        with pytest.raises(LineageError, match="another task"):
            publish(exportables["vehicles"], tmp_path, options, name="images")

    @pytest.mark.parametrize("name", ["Images", "IMAGES"])
    def test_names_that_differ_by_case(self, exportables, options, tmp_path, first, name):
        with pytest.raises(TaskNameError, match=f"'{name}' differs from 'images' in .*files by"):
            publish(exportables["birds"], tmp_path, options, name=name)
        assert kinds.content(tmp_path) == first

    @pytest.mark.parametrize("name", ["../../../victim", "/victim", "..", "tasks", "con", "a."])
    def test_names_that_lead_elsewhere(self, exportables, options, tmp_path, name):
        victim = tmp_path / "victim" / "1"
        victim.mkdir(parents=True)
        with pytest.raises(TaskNameError, match="cannot be the name of a task"):
            publish(exportables["birds"], tmp_path / "a" / "b" / "c", options, name=name)
        assert list(kinds.content(tmp_path)) == [
            p.relative_to(tmp_path) for p in (victim.parent, victim)
        ]


@pytest.mark.parametrize("place", ["files", "files/birds", "serving", "serving/birds"])
def test_links_among_the_exports(exportables, options, tmp_path, place):
    """Numbered folders behind a link are not removed, and nothing is written there."""
    outside, link = tmp_path / "outside", tmp_path / "exports" / place
    for number in range(1, 6):
        (outside / str(number)).mkdir(parents=True)
        (outside / str(number) / "export.json").write_text("{}")
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    before = kinds.content(outside)
    with pytest.raises(FileKindError, match=f"{link} is a symbolic link; expected a folder"):
        publish(exportables["birds"], tmp_path / "exports", options)
    assert kinds.content(outside) == before


class TestPack:
    """A task pack of a stranger."""

    def pack(self, small, paths, tmp_path, name):
        task = load_task_pack(paths["birds"], small)
        info = dataclasses.replace(task.info, name=name)
        save_task_pack(tmp_path / "pack", TailoredTask(info, task.student))
        return tmp_path / "pack"

    @pytest.mark.parametrize("name", ["../../../victim", "my photos", "tasks", ""])
    def test_name_that_is_none(self, small, paths, tmp_path, name):
        path = self.pack(small, paths, tmp_path, name)
        for read in (load_task_pack, read_pack, from_task_pack):
            with pytest.raises(TaskNameError, match=r"cannot be the name of a task.*--name"):
                read(path, small)
        assert from_task_pack(path, small, "photos").info.name == "photos"
        assert read_pack(path, small, "photos").name == "photos"

    def test_it_cannot_claim_to_be_another_pack(self, small, paths, tmp_path):
        tensors, metadata = weights.read(paths["birds"])
        del metadata["checksum"]
        weights.write(tmp_path / "pack", tensors, {**metadata, "pack": sha256(paths["signs"])})
        assert load_task_pack(tmp_path / "pack", small).info.pack == sha256(tmp_path / "pack")


class TestBundles:
    @pytest.fixture
    def store(self, paths, small, tmp_path):
        packs = [read_pack(paths["birds"], small), read_pack(paths["signs"], small, "Zeichen")]
        return BundleStore.create(tmp_path / "bundle", small, packs)

    def test_another_bundle_in_the_same_place(self, store, paths, small, tmp_path):
        made = bundle.export(store, tmp_path / "exports", formats=(FAMILY.name,))
        assert [path.name for path in made] == ["1"]
        other = BundleStore.create(tmp_path / "other", small, [read_pack(paths["vehicles"], small)])
        with pytest.raises(LineageError, match=r"pretend/1 is of Zeichen, birds, and .* has vehic"):
            bundle.export(other, tmp_path / "exports", formats=(FAMILY.name,))
        same_name = BundleStore.create(
            tmp_path / "third", small, [read_pack(paths["vehicles"], small, "birds")]
        )
        with pytest.raises(LineageError, match=r"another task of the name birds: 5 classes"):
            bundle.export(same_name, tmp_path / "exports", formats=(FAMILY.name,))
        (made,) = bundle.export(other, tmp_path / "exports", formats=(FAMILY.name,), supersede=True)
        assert made.name == "2"

    def test_tasks_come_and_go(self, store, paths, small, tmp_path):
        bundle.export(store, tmp_path / "exports", formats=(FAMILY.name,))
        store.add(read_pack(paths["vehicles"], small))
        store.remove("Zeichen")
        (made,) = bundle.export(store, tmp_path / "exports", formats=(FAMILY.name,))
        assert set(formats.load_shared(made)) == {"birds", "vehicles"}


@pytest.mark.parametrize("other", ["shopA", "shopB"])
def test_folders_with_the_same_last_part(tmp_path, other):
    """The name does not tell them apart, and the digest of the place does."""
    for shop in ("shopA", "shopB"):
        for name in ("cat", "dog"):
            folder = tmp_path / shop / "images" / name
            folder.mkdir(parents=True)
            for index in range(8):
                Image.new("RGB", (8, 8), (index, 0, 0)).save(folder / f"{index}.png")
    tasks = [
        load_task(f"folder:{tmp_path}/{shop}/images", image_size=8) for shop in ("shopA", other)
    ]
    assert {task.name for task in tasks} == {"images"}
    assert (tasks[0].info.source == tasks[1].info.source) == (other == "shopA")
    named = load_task(f"folder:{tmp_path}/shopA/../shopA/images/", image_size=8, name="oaks")
    assert named.name == "oaks" and named.info.source == tasks[0].info.source
