"""Links, pipes and sockets in the place of a bundle's files: refused, and nothing is touched."""

import json
import shutil

import pytest

from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tailor_tf.support.files import FileKindError
from tailor_tf.support.json_text import unsealed
from tailor_tf.support.names import TaskNameError
from tests.bundle import bundle_packs
from tests.support import kinds


@pytest.fixture
def outside(tmp_path):
    """A folder of another program, which stays as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    yield folder


def changes(store, packs):
    return [lambda: store.add(packs["signs"]), lambda: store.remove("birds")]


@pytest.mark.parametrize("name", ["lock", "bundle.json"])
@pytest.mark.parametrize("make", [*kinds.LINKS, *kinds.SPECIAL])
def test_files(store, packs, outside, name, make):
    (store.path / name).unlink()
    make(store.path / name, outside)
    before = kinds.content(outside)
    for change in changes(store, packs):
        with pytest.raises(FileKindError, match=rf"{name} is a .*; expected a regular file"):
            change()
    assert kinds.content(outside) == before


@pytest.mark.parametrize("folder", ["packs", "universal"])
def test_folders_that_lead_into_another_bundle(store, packs, folder, outside, tmp_path):
    """`remove` would delete the other bundle's files, which this one's manifest does not name."""
    other = BundleStore(outside / "other")
    shutil.copytree(store.path, other.path)
    other.add(packs["signs"])
    shutil.rmtree(store.path / folder)
    (store.path / folder).symlink_to(other.path / folder)
    before = bundle_packs.files(other)
    for act in (*changes(store, packs), store.load):
        with pytest.raises(FileKindError, match=rf"{folder} is a symbolic link; expected a folder"):
            act()
    assert bundle_packs.files(other) == before
    other.verify()


@pytest.mark.parametrize("make", [*kinds.LINKS, *kinds.SPECIAL])
def test_packs(store, outside, make):
    path = store.path / "packs" / f"{store.read().tasks['birds'].sha256}.safetensors"
    path.unlink()
    make(path, outside)
    for act in (store.load, store.verify):
        with pytest.raises(ValueError, match=rf"{path.name} is a .*expected a regular file"):
            act()


def test_a_bundle_behind_a_link_that_a_person_made(store, packs, tmp_path):
    (tmp_path / "link").symlink_to(store.path)
    BundleStore(tmp_path / "link").add(packs["signs"])
    assert set(store.verify().tasks) == {"vehicles", "birds", "signs"}


@pytest.mark.parametrize("name", ["Birds", "BIRDS", "\uff42irds"])
def test_names_that_a_file_system_may_confuse(store, paths, small, name):
    before = bundle_packs.files(store)
    with pytest.raises(TaskNameError, match=f"'{name}' differs from 'birds' in .* by case or"):
        store.add(read_pack(paths["signs"], small, name))
    assert bundle_packs.files(store) == before


def test_names_that_would_share_a_signature(store, paths, small):
    with pytest.raises(TaskNameError, match=r"'birds_encoded' and 'birds' in .* same signature"):
        store.add(read_pack(paths["signs"], small, "birds_encoded"))
    store.add(read_pack(paths["signs"], small, "birds_encoded2"))


def test_names_of_earlier_versions_are_still_read(store):
    """They were allowed in bundles once: reserved, and differing by case alone."""
    text = json.dumps(unsealed(json.loads((store.path / "bundle.json").read_text())))
    text = text.replace('"birds"', '"_Tasks."').replace('"vehicles"', '"_tasks."')
    (store.path / "bundle.json").write_text(text)
    assert set(store.verify().tasks) == set(store.load()) == {"_Tasks.", "_tasks."}
    store.remove("_tasks.")


@pytest.mark.parametrize("make", kinds.SPECIAL)
def test_packs_that_are_no_files(small, outside, tmp_path, make):
    make(tmp_path / "pack", outside)
    with pytest.raises(FileKindError, match="expected a regular file"):
        read_pack(tmp_path / "pack", small)
