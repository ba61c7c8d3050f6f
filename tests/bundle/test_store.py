"""A bundle on disk: what is in it, what is refused, and what a killed change leaves."""

import functools
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

from tailor_tf import save_universal
from tailor_tf.backbones.universal import Universal, load_universal
from tailor_tf.bundle.manifest import BundleError, Manifest
from tailor_tf.bundle.store import BundleStore, read_pack
from tailor_tf.method.task_pack import TaskPackError, load_task_pack
from tailor_tf.network.graph import build_network
from tailor_tf.network.weights import WeightsError
from tailor_tf.support import locks
from tests.bundle import bundle_packs
from tests.helpers import images, randomise

KILLS = 20
FILE_EVENTS = ("open", "os.", "tempfile.", "fcntl.", "shutil.")


@pytest.fixture(scope="module", autouse=True)
def _known():
    with pytest.MonkeyPatch.context() as monkeypatch:
        bundle_packs.known(monkeypatch)
        yield


@pytest.fixture(scope="module")
def paths(small, tmp_path_factory):
    return bundle_packs.write(tmp_path_factory.mktemp("packs"), small)


@pytest.fixture(scope="module")
def packs(small, paths):
    return {name: read_pack(path, small) for name, path in paths.items()}


@pytest.fixture(scope="module")
def two(small, packs, tmp_path_factory):
    """A bundle of vehicles and birds; read-only."""
    path = tmp_path_factory.mktemp("bundles") / "two"
    return BundleStore.create(path, small, [packs["vehicles"], packs["birds"]])


@pytest.fixture
def store(two, tmp_path):
    """The same, to be changed."""
    shutil.copytree(two.path, tmp_path / "bundle")
    return BundleStore(tmp_path / "bundle")


def other_weights(universal):
    model = build_network(universal.graph, 7)
    return Universal(universal.graph, randomise(model, np.random.default_rng(99)))


def files(store):
    """What every file holds, and when it was written; the lock left out."""
    return {
        path.relative_to(store.path).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in store.path.rglob("*")
        if path.is_file() and path.name != locks.LOCK
    }


def packs_of(store):
    return sorted(path.name for path in (store.path / "packs").iterdir())


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestWhatIsStored:
    def test_network_once_and_packs_as_they_were(self, two, paths, small):
        assert list(two.read().tasks) == ["vehicles", "birds"]
        (network,) = (two.path / "universal").iterdir()
        assert network.name == f"{sha256(network)}.safetensors"
        assert load_universal(network).fingerprint == small.fingerprint
        expected = sorted(f"{sha256(paths[name])}.safetensors" for name in ("vehicles", "birds"))
        assert packs_of(two) == expected
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
            assert (tailored.name, tailored.classes) == (name, expected.classes)
            np.testing.assert_array_equal(
                tailored.student(x)["logits"], expected.student(x)["logits"]
            )
        assert loaded["vehicles"].universal is loaded["birds"].universal

    def test_descriptions(self, two, packs):
        described = two.describe()
        for name in ("vehicles", "birds"):
            assert described[name].classes == bundle_packs.TASKS[name][0]
            assert described[name].architecture == packs[name].tailored.architecture
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
        before = files(store)
        store.add(packs["signs"])
        during = files(store)
        assert list(store.verify().tasks) == ["vehicles", "birds", "signs"]
        store.remove("signs")
        after = files(store)
        assert list(store.verify().tasks) == ["vehicles", "birds"]
        for path, file in before.items():
            if path != "bundle.json":
                assert during[path] == after[path] == file
        assert before.keys() == after.keys() and len(during) == len(before) + 1
        assert after["bundle.json"][0] == before["bundle.json"][0]

    def test_one_pack_under_two_names_is_one_file(self, store, paths, small):
        before = packs_of(store)
        store.add(read_pack(paths["birds"], small, "fowl"))
        assert packs_of(store) == before
        store.remove("birds")
        assert packs_of(store) == before
        assert store.load().keys() == {"vehicles", "fowl"}
        assert store.load()["fowl"].name == "fowl"

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
            return {name: store.task(name, e, small).name for name, e in manifest.tasks.items()}

        assert store.consistently(read).keys() == {"vehicles", "signs"}
        assert seen == [["vehicles", "birds"], ["vehicles", "signs"]]


class TestRefused:
    """With the reason, and the bundle stays as it was."""

    @pytest.fixture(autouse=True)
    def _unchanged(self, store):
        before = files(store)
        yield
        assert files(store) == before
        assert store.verify().tasks.keys() == {"vehicles", "birds"}

    def test_pack_of_another_universal_network(self, store, small, tmp_path):
        other = other_weights(small)
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

    def test_pack_that_is_not_there(self, small, tmp_path):
        with pytest.raises(OSError, match=r"No such file.*none"):
            read_pack(tmp_path / "none", small)

    @pytest.mark.parametrize(
        "name", ["../signs", "a/b", "a\\b", "", ".", "..", ".signs", "a\n", "a b", "a\0", "x" * 101]
    )
    def test_name_that_would_leave_the_directory(self, paths, small, name):
        with pytest.raises(BundleError, match="cannot be the name of a task in a bundle; expected"):
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
        before = files(store)
        with pytest.raises(BundleError, match=r"vehicles is the last task of .*Add another one"):
            store.remove("vehicles")
        assert files(store) == before

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
        before = files(store)
        for act in (store.verify, lambda: store.add(packs["signs"]), lambda: store.remove("birds")):
            with pytest.raises(BundleError, match="has format 2 and this program reads 1; take"):
                act()
        assert files(store) == before

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
            BundleStore.create(path, other_weights(small), [packs["signs"]])
        assert not path.exists()


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
        universal = other_weights(small)
        pack = read_pack(bundle_packs.write(tmp_path, universal)["signs"], universal)
        other = BundleStore.create(tmp_path / "other", universal, [pack])
        shutil.copytree(other.path / "universal", store.path / "universal", dirs_exist_ok=True)
        mixed = json.loads((store.path / "bundle.json").read_text())
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
        with pytest.raises(BundleError, match="cannot be the name"):
            Manifest.from_json(text, origin="bundle.json")


def forked(act, *, before=lambda: None):
    """Starts `act` in a copy of this process, which ends with it; returns its id."""
    process = os.fork()
    if not process:
        try:
            before()
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return process


def end_of(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def die_at(number):
    """Kills this process before so many file operations."""
    left = number

    def hook(event, arguments):
        nonlocal left
        if event.startswith(FILE_EVENTS):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(hook)


def assert_old_or_new(store, old, new):
    """The bundle is whole, before or after the change, and the next changes leave no remains."""
    tasks = set(store.verify().tasks)
    assert tasks in (old, new)
    return tasks == new


def assert_no_remains(store):
    named = {entry.sha256 for entry in store.read().tasks.values()}
    assert packs_of(store) == sorted(f"{sha256}.safetensors" for sha256 in named)
    assert {path.name for path in store.path.iterdir()} == {
        "bundle.json",
        "lock",
        "packs",
        "universal",
    }


BOTH, ALL = {"vehicles", "birds"}, {"vehicles", "birds", "signs"}


class TestKilled:
    @pytest.mark.parametrize("verb", ["add", "remove"])
    def test_before_every_file_operation(self, verb, store, packs):
        act, back, old, new = change(verb, store, packs)
        states = []
        for number in range(1, 200):
            status = end_of(forked(act, before=die_at(number)))
            states.append(assert_old_or_new(store, old, new))
            if not status:
                break
            assert status == -signal.SIGKILL
            if not states[-1]:
                act()
            back()
            assert_no_remains(store)
        assert not status and len(states) > 8
        assert states == sorted(states) and set(states) == {False, True}

    def test_before_every_file_operation_of_create(self, packs, small, tmp_path):
        _ = small.fingerprint  # kept with it, so that copies of this process need not compute it
        for number in range(1, 200):
            store = BundleStore(tmp_path / str(number))
            act = functools.partial(BundleStore.create, store.path, small, [packs["signs"]])
            status = end_of(forked(act, before=die_at(number)))
            if not (store.path / "bundle.json").exists():
                assert status == -signal.SIGKILL
                act()
            assert store.verify().tasks.keys() == {"signs"}
            if not status:
                break
        assert not status and number > 8
        assert_no_remains(store)

    @pytest.mark.slow
    @pytest.mark.parametrize("verb", ["add", "remove"])
    def test_at_random_moments(self, verb, store, packs):
        seed = time.time_ns()
        chance = random.Random(seed)
        act, back, old, new = change(verb, store, packs)
        durations = []
        for _ in range(5):
            started = time.perf_counter()
            assert end_of(forked(act)) == 0
            durations.append(time.perf_counter() - started)
            back()
        killed = changed = 0
        while killed < KILLS:
            process = forked(act)
            time.sleep(chance.uniform(0, max(durations)))
            os.kill(process, signal.SIGKILL)
            was_killed = end_of(process) == -signal.SIGKILL  # it may have ended before
            is_new = assert_old_or_new(store, old, new)
            killed, changed = killed + was_killed, changed + (was_killed and is_new)
            if is_new:
                back()
        print(f"seed {seed}: {killed} killed while at {verb}, {changed} of them had changed it")


def change(verb, store, packs):
    """A change of a bundle, the one that takes it back, and the tasks before and after."""
    acts = [lambda: store.add(packs["signs"]), lambda: store.remove("signs")]
    tasks = [{"vehicles", "birds"}, {"vehicles", "birds", "signs"}]
    if verb == "remove":
        acts[0]()
        acts, tasks = acts[::-1], tasks[::-1]
    return *acts, *tasks
