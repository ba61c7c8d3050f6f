"""What a bundle refuses, unchanged by it."""

import os

import pytest

from tailor_tf.bundle.manifest import BundleError
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tailor_tf.method.task_pack import TaskPackError, load_task_pack
from tailor_tf.network.weights import WeightsError
from tailor_tf.support import locks
from tailor_tf.support.names import TaskNameError
from tests.bundle import bundle_packs


class TestRefused:
    """With the reason, and the bundle stays as it was."""

    @pytest.fixture(autouse=True)
    def _unchanged(self, store):
        before = bundle_packs.files(store)
        yield
        assert bundle_packs.files(store) == before
        assert store.verify().tasks.keys() == {"vehicles", "birds"}

    def test_pack_of_another_universal_network(self, store, small, tmp_path):
        other = bundle_packs.other_weights(small)
        path = bundle_packs.write(tmp_path, other)["signs"]
        with pytest.raises(TaskPackError, match=r"signs.safetensors belongs to the universal net"):
            store.add(read_pack(path, store.universal()))
        with pytest.raises(BundleError, match=f"another universal.*{other.fingerprint[:16]}"):
            store.add(read_pack(path, other))

    def test_two_tasks_of_one_name(self, store, packs, paths, small):
        for pack in (packs["birds"], read_pack(paths["signs"], small, "birds")):
            with pytest.raises(BundleError, match=r"has a task birds already; give .* another na"):
                store.add(pack)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
    def test_pack_that_was_cut_short(self, paths, small, share, tmp_path):
        content = paths["signs"].read_bytes()
        (tmp_path / "signs").write_bytes(content[: int(share * len(content))])
        with pytest.raises(WeightsError, match=r"Cannot read weights from .*signs"):
            read_pack(tmp_path / "signs", small)

    def test_pack_that_was_altered(self, paths, small, tmp_path):
        content = bytearray(paths["signs"].read_bytes())
        content[-5] ^= 1
        (tmp_path / "signs").write_bytes(content)
        with pytest.raises(TaskPackError, match="signs was altered"):
            read_pack(tmp_path / "signs", small)

    def test_pack_that_is_replaced_while_it_is_read(self, paths, small, tmp_path, monkeypatch):
        path = tmp_path / "signs"
        path.write_bytes(paths["signs"].read_bytes())

        def loaded_and_replaced(path, universal, name):
            task = load_task_pack(path, universal, name)
            path.write_bytes(paths["birds"].read_bytes())
            return task

        monkeypatch.setattr("tailor_tf.bundle.packs.load_task_pack", loaded_and_replaced)
        with pytest.raises(BundleError, match=r"signs was replaced while it was read; try again"):
            read_pack(path, small)

    def test_pack_that_is_not_there(self, small, tmp_path):
        with pytest.raises(OSError, match=r"No such file.*none"):
            read_pack(tmp_path / "none", small)

    @pytest.mark.parametrize(
        "name", ["../signs", "a/b", "a\\b", "", ".", "..", ".signs", "a\n", "a b", "a\0", "x" * 101]
    )
    def test_name_that_would_leave_the_directory(self, paths, small, name):
        with pytest.raises(TaskNameError, match="cannot be the name of a task; expected at most"):
            read_pack(paths["signs"], small, name)

    def test_removing_what_is_not_there(self, store):
        with pytest.raises(BundleError, match="has no task 'signs'; it has vehicles, birds"):
            store.remove("signs")

    def test_while_another_change_is_going_on(self, store, packs):
        with locks.locked(store.path):
            with pytest.raises(locks.InUseError, match=f"process {os.getpid()}"):
                store.add(packs["signs"])
            with pytest.raises(locks.InUseError):
                store.remove("birds")
            store.verify()

    def test_creating_over_it(self, store, packs, small):
        with pytest.raises(BundleError, match="is a bundle already; add tasks to it"):
            BundleStore.create(store.path, small, [packs["signs"]])


class TestOtherRefusals:
    def test_removing_the_last_task(self, store):
        store.remove("birds")
        before = bundle_packs.files(store)
        with pytest.raises(BundleError, match=r"vehicles is the last task of .*Add another one"):
            store.remove("vehicles")
        assert bundle_packs.files(store) == before

    def test_no_bundle_at_the_path(self, tmp_path, packs):
        file = tmp_path / "file"
        file.write_text("x")
        for path in (tmp_path / "none", tmp_path, file):
            store = BundleStore(path)
            for act in (store.read, store.verify, store.universal, store.load, store.describe):
                with pytest.raises(BundleError, match=f"There is no bundle at {path}; expected a"):
                    act()
            with pytest.raises(BundleError, match="There is no bundle"):
                store.add(packs["signs"])
            with pytest.raises(BundleError, match="There is no bundle"):
                store.remove("signs")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_bundle_of_a_newer_format(self, store, packs):
        path = store.path / "bundle.json"
        path.write_text(path.read_text().replace('"bundle": 1', '"bundle": 2'))
        before = bundle_packs.files(store)
        for act in (store.verify, lambda: store.add(packs["signs"]), lambda: store.remove("birds")):
            with pytest.raises(BundleError, match="has format 2 and this program reads 1; take"):
                act()
        assert bundle_packs.files(store) == before

    def test_directory_that_is_taken(self, tmp_path, packs, small):
        (tmp_path / "photo.jpg").write_text("x")
        with pytest.raises(BundleError, match=r"holds photo.jpg; expected a directory that is new"):
            BundleStore.create(tmp_path, small, [packs["signs"]])
        assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]

    def test_tasks_that_make_no_bundle(self, tmp_path, packs, small):
        path = tmp_path / "bundle"
        with pytest.raises(BundleError, match="at least one task"):
            BundleStore.create(path, small, [])
        with pytest.raises(BundleError, match="has a task signs already"):
            BundleStore.create(path, small, [packs["signs"], packs["signs"]])
        with pytest.raises(BundleError, match="signs belongs to another universal network"):
            BundleStore.create(path, bundle_packs.other_weights(small), [packs["signs"]])
        assert not path.exists()
