"""A bundle on disk: what is stored, and how it changes."""

import hashlib

import numpy as np
import safetensors.numpy

from tailor_tf import save_universal
from tailor_tf.backbones.loading import load_universal
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tailor_tf.method.task_pack import load_task_pack
from tests.builders import images
from tests.bundle import bundle_packs


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestWhatIsStored:
    def test_network_once_and_packs_as_they_were(self, two, paths, small):
        assert list(two.read().tasks) == ["vehicles", "birds"]
        (network,) = (two.path / "universal").iterdir()
        assert network.name == f"{sha256(network)}.safetensors"
        assert load_universal(network).fingerprint == small.fingerprint
        expected = sorted(f"{sha256(paths[name])}.safetensors" for name in ("vehicles", "birds"))
        assert bundle_packs.packs_of(two) == expected
        sizes = [path.stat().st_size for path in (paths["vehicles"], paths["birds"], network)]
        assert two.read().total_bytes == sum(sizes)
        assert {path.name for path in two.path.iterdir()} == {
            "bundle.json",
            "lock",
            "packs",
            "universal",
        }
        assert two.verify() == two.read()

    def test_tasks_come_back_with_their_logits_over_one_network(self, two, paths, small, rng):
        loaded = two.load()
        x = images(small.graph, rng)
        for name, tailored in loaded.items():
            expected = load_task_pack(paths[name], small)
            assert tailored.info == expected.info and tailored.info.name == name
            np.testing.assert_array_equal(
                tailored.student.model(x)["logits"], expected.student.model(x)["logits"]
            )
        vehicles, birds = (loaded[name].student for name in ("vehicles", "birds"))
        assert vehicles.universal is birds.universal

    def test_descriptions(self, two, packs):
        described = two.describe()
        for name in ("vehicles", "birds"):
            assert described[name].header.info.classes == bundle_packs.TASKS[name][0]
            architecture = packs[name].task.student.architecture
            assert described[name].header.architecture == architecture
            assert described[name].bytes == len(packs[name].content)

    def test_half_precision_where_nothing_is_lost(self, small, two, tmp_path):
        save_universal(tmp_path / "half", small.graph, small.model)
        halved = load_universal(tmp_path / "half")
        bundle_packs.write(tmp_path, halved)
        pack = read_pack(tmp_path / "signs.safetensors", halved)
        store = BundleStore.create(tmp_path / "bundle", halved, [pack])
        assert store.universal().fingerprint == halved.fingerprint != small.fingerprint
        assert two.universal().fingerprint == small.fingerprint
        assert self.precisions(two) == {np.dtype("float32")}
        assert self.precisions(store) == {np.dtype("float16")}

    def precisions(self, store):
        (network,) = (store.path / "universal").iterdir()
        return {tensor.dtype for tensor in safetensors.numpy.load_file(network).values()}


class TestChanges:
    def test_adding_and_removing_touch_nothing_else(self, store, packs):
        before = bundle_packs.files(store)
        store.add(packs["signs"])
        during = bundle_packs.files(store)
        assert list(store.verify().tasks) == ["vehicles", "birds", "signs"]
        store.remove("signs")
        after = bundle_packs.files(store)
        assert list(store.verify().tasks) == ["vehicles", "birds"]
        for path, file in before.items():
            if path != "bundle.json":
                assert during[path] == after[path] == file
        assert before.keys() == after.keys() and len(during) == len(before) + 1
        assert after["bundle.json"][0] == before["bundle.json"][0]

    def test_one_pack_under_two_names_is_one_file(self, store, paths, small):
        before = bundle_packs.packs_of(store)
        store.add(read_pack(paths["birds"], small, "fowl"))
        assert bundle_packs.packs_of(store) == before
        store.remove("birds")
        assert bundle_packs.packs_of(store) == before
        assert store.load().keys() == {"vehicles", "fowl"}
        assert store.load()["fowl"].info.name == "fowl"

    def test_leftovers_go_with_the_next_change_and_other_files_stay(self, store, packs):
        left = [
            store.path / "packs" / f"{'0' * 64}.safetensors",
            store.path / "packs" / f".{'0' * 64}.safetensors.a1b2c3",
            store.path / "universal" / f".{'0' * 64}.safetensors.a1b2c3",
            store.path / ".bundle.json.a1b2c3",
        ]
        kept = [store.path / "packs" / "notes.txt", store.path / "exports" / "file"]
        kept[1].parent.mkdir()
        for path in left + kept:
            path.write_text("x")
        store.verify()
        store.add(packs["signs"])
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in kept)

    def test_reading_goes_on_while_files_come_and_go(self, store, packs, small):
        seen = []

        def read(manifest):
            seen.append(list(manifest.tasks))
            if len(seen) == 1:  # what was read first goes away before it is opened
                store.add(packs["signs"])
                store.remove("birds")
            found = manifest.tasks.items()
            return {name: store.task(name, e, small).info.name for name, e in found}

        assert store.consistently(read).keys() == {"vehicles", "signs"}
        assert seen == [["vehicles", "birds"], ["vehicles", "signs"]]
