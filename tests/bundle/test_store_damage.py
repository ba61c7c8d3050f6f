"""Damaged bundles: verifying and loading name the file."""

import json
import shutil

import pytest

from tailor_tf.bundle.manifest import BundleError, Manifest
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tailor_tf.support.json_text import sealed, unsealed
from tests.bundle import bundle_packs


class TestDamage:
    """Verifying and loading say which file it is."""

    def assert_found(self, store, message, damaged=("birds",)):
        with pytest.raises(BundleError, match=f"is damaged: {message}"):
            store.verify()
        universal = store.universal()
        for name, entry in store.read().tasks.items():
            if name in damaged:
                with pytest.raises(BundleError, match=message):
                    store.task(name, entry, universal)
            else:
                store.task(name, entry, universal)
        with pytest.raises(BundleError, match=message):
            store.load()

    def pack(self, store, name="birds"):
        return store.path / "packs" / f"{store.read().tasks[name].sha256}.safetensors"

    @pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
    def test_altered_pack(self, store, place):
        content = bytearray(self.pack(store).read_bytes())
        content[int(place * len(content))] ^= 4
        self.pack(store).write_bytes(content)
        self.assert_found(store, f"the task pack of birds was altered: {self.pack(store)}")

    def test_pack_cut_short(self, store):
        self.pack(store).write_bytes(self.pack(store).read_bytes()[:-1])
        self.assert_found(store, f"the task pack of birds was cut short: {self.pack(store)} has")

    def test_missing_pack(self, store):
        self.pack(store).unlink()
        self.assert_found(store, "the task pack of birds is missing: there is no file")

    def test_all_of_them_are_named(self, store):
        self.pack(store).unlink()
        self.pack(store, "vehicles").write_bytes(b"")
        with pytest.raises(
            BundleError, match=r"pack of vehicles was cut.*pack of birds is missing"
        ):
            store.verify()

    def test_damaged_task_can_be_removed_and_added_again(self, store, packs):
        self.pack(store).write_bytes(b"x")
        store.remove("birds")
        store.add(packs["birds"])
        assert store.verify().tasks.keys() == {"vehicles", "birds"}

    def test_altered_network(self, store):
        (network,) = (store.path / "universal").iterdir()
        content = bytearray(network.read_bytes())
        content[-9] ^= 1
        network.write_bytes(content)
        for act in (store.verify, store.universal, store.load):
            with pytest.raises(BundleError, match="the universal network was altered"):
                act()

    def test_manifest_that_names_another_network(self, store, small, packs, tmp_path):
        universal = bundle_packs.other_weights(small)
        pack = read_pack(bundle_packs.write(tmp_path, universal)["signs"], universal)
        other = BundleStore.create(tmp_path / "other", universal, [pack])
        shutil.copytree(other.path / "universal", store.path / "universal", dirs_exist_ok=True)
        mixed = unsealed(json.loads((store.path / "bundle.json").read_text()))
        mixed["universal"] = json.loads((other.path / "bundle.json").read_text())["universal"]
        (store.path / "bundle.json").write_text(json.dumps(mixed))
        with pytest.raises(BundleError, match=r"universal network is not the one that bundle.json"):
            store.verify()
        mixed["fingerprint"] = other.read().fingerprint
        (store.path / "bundle.json").write_text(json.dumps(mixed))
        with pytest.raises(BundleError, match="task pack of birds belongs to another universal"):
            store.verify()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "{}",
            '{"bundle": 1}',
            '{"bundle": 1, "fingerprint": "a", "universal": {}, "tasks": {}}',
            '{"bundle": 1, "fingerprint": "a", "universal": {"sha256": "../a", "bytes": 1}, '
            '"tasks": {}}',
            "\xff\xfe",
        ],
    )
    def test_damaged_manifest(self, store, text):
        (store.path / "bundle.json").write_text(text, encoding="latin-1")
        with pytest.raises(BundleError, match=r"bundle.json is damaged: .*create the bundle anew"):
            store.verify()

    def test_manifest_whose_task_would_leave_the_directory(self, store):
        text = store.read().to_json().replace('"birds"', '"../birds"')
        forged = {key: value for key, value in json.loads(text).items() if key != "checksum"}
        with pytest.raises(BundleError, match="cannot be the name"):
            Manifest.from_json(json.dumps(sealed(forged)), origin="bundle.json")

    def test_altered_manifest(self, store):
        text = store.read().to_json()
        for old, new in (('"birds"', '"bards"'), ('"bytes": ', '"bytes": 1')):
            (store.path / "bundle.json").write_text(text.replace(old, new))
            with pytest.raises(BundleError, match=r"does not match its checksum .*bundle anew"):
                store.read()

    def test_manifest_of_an_earlier_version(self, store):
        """It has no checksum, and the next change adds one."""
        path, manifest = store.path / "bundle.json", store.read()
        path.write_text(json.dumps(unsealed(json.loads(path.read_text()))))
        assert store.verify() == manifest
        store.remove("birds")
        assert "checksum" in json.loads(path.read_text())
