"""The runtime of a bundle: its answers are those of the tasks alone, whoever comes and goes."""

import gc
import itertools
import shutil
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from tailor_tf import Bundle
from tailor_tf.bundle import sharing
from tailor_tf.bundle.manifest import BundleError
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tailor_tf.method.task_pack import TaskPackError
from tailor_tf.support.names import TaskNameError
from tests.builders import randomise
from tests.bundle import bundle_packs

THREADS = 8


@pytest.fixture(scope="module")
def expected(paths, small):
    """From images to logits by task, each without the others."""
    return {name: bundle_packs.alone(path, small) for name, path in paths.items()}


@pytest.fixture(scope="module")
def loaded(two):
    """The same, loaded; read-only."""
    return Bundle(two.path)


@pytest.fixture
def path(two, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(two.path, tmp_path / "bundle")


@pytest.fixture
def bundle(path):
    return Bundle(path)


def photos(rng, batch=3, height=8, width=8):
    return rng.integers(0, 256, (batch, height, width, 3), np.uint8)


class TestAnswers:
    @pytest.mark.parametrize("size", [(1, 8, 8), (3, 8, 8), (2, 13, 21), (5, 10, 10)])
    def test_are_those_of_the_task_alone(self, loaded, expected, rng, size):
        for name in ("vehicles", "birds"):
            x = photos(rng, *size)
            answer, logits = loaded.predict(name, x), expected[name](x)
            np.testing.assert_allclose(answer.logits, logits, atol=1e-5, rtol=0)
            odds = np.exp(logits)
            scores = odds / odds.sum(-1, keepdims=True)
            np.testing.assert_allclose(answer.scores, scores, atol=1e-5)
            classes = bundle_packs.TASKS[name][0]
            assert list(answer.class_names) == [classes[row.argmax()] for row in logits]
            assert answer.logits.dtype == answer.scores.dtype == np.float32

    def test_tensors_will_do(self, loaded, expected, rng):
        x = photos(rng)
        answer = loaded.predict("birds", keras.ops.convert_to_tensor(x, "uint8"))
        np.testing.assert_allclose(answer.logits, expected["birds"](x), atol=1e-5)

    @pytest.mark.parametrize(
        ("x", "received"),
        [
            (np.zeros((1, 8, 8, 3), np.float32), r"float32 \[1, 8, 8, 3\]"),
            (np.zeros((8, 8, 3), np.uint8), r"uint8 \[8, 8, 3\]"),
            (np.zeros((1, 8, 8, 1), np.uint8), r"uint8 \[1, 8, 8, 1\]"),
            (np.zeros((1, 0, 8, 3), np.uint8), r"uint8 \[1, 0, 8, 3\]"),
            (np.zeros((0, 8, 8, 3), np.uint8), r"uint8 \[0, 8, 8, 3\]"),
            ("photo.jpg", r"<U9 \[\]"),
        ],
    )
    def test_other_images_are_refused(self, loaded, x, received):
        with pytest.raises(BundleError, match=f"Received images {received}; expected uint8"):
            loaded.predict("birds", x)

    def test_task_that_is_not_there(self, loaded, rng):
        with pytest.raises(BundleError, match="no task 'signs'; there are vehicles, birds"):
            loaded.predict("signs", photos(rng))


def test_tasks_share_what_is_universal_and_nothing_else(loaded):
    universal = {id(v) for v in sharing.universal_kernels(loaded.universal).values()}
    seen = set()
    for task in loaded.tasks.values():
        found = {id(variable) for variable in task.network.variables}
        assert found & universal, "its universal kernels are those of all tasks"
        own = [v for v in task.network.variables if id(v) not in universal]
        assert not any(id(v) in seen for v in own)
        seen |= {id(variable) for variable in own}
    every = {id(variable) for variable in loaded.universal.model.variables}
    assert not seen & every, "nothing else of the universal network is shared"


def test_made_of_packs(paths, small, expected, rng, tmp_path):
    bundle = Bundle.create(tmp_path / "bundle", small, [paths["signs"]])
    x = photos(rng)
    np.testing.assert_allclose(bundle.predict("signs", x).logits, expected["signs"](x), atol=1e-5)
    assert list(Bundle(tmp_path / "bundle").tasks) == ["signs"]


class TestChanges:
    def test_added_and_removed_here_and_on_disk(self, bundle, path, paths, expected, rng):
        x, birds = photos(rng), bundle.tasks["birds"]
        assert bundle.add(paths["signs"]) == "signs"
        assert bundle.add(paths["signs"], name="panels") == "panels"
        bundle.remove("vehicles")
        assert list(bundle.tasks) == ["birds", "signs", "panels"]
        assert bundle.tasks["birds"] is birds
        for each in (bundle, Bundle(path)):
            assert list(each.tasks) == ["birds", "signs", "panels"]
            for name in ("signs", "panels"):
                logits = each.predict(name, x).logits
                np.testing.assert_allclose(logits, expected["signs"](x), atol=1e-5)
                assert each.tasks[name].info.name == name
        with pytest.raises(BundleError, match="no task 'vehicles'"):
            bundle.predict("vehicles", x)

    def test_refused_ones_change_nothing(self, bundle, path, paths, small, tmp_path, rng):
        before = BundleStore(path).read()
        other = type(small)(small.graph, keras.models.clone_model(small.model))
        randomise(other.model, rng)
        foreign = bundle_packs.write(tmp_path, other)["signs"]
        with pytest.raises(TaskPackError, match="belongs to the universal network"):
            bundle.add(foreign)
        with pytest.raises(BundleError, match="has a task birds already"):
            bundle.add(paths["birds"])
        with pytest.raises(TaskNameError, match="cannot be the name"):
            bundle.add(paths["signs"], name="../signs")
        with pytest.raises(BundleError, match="has no task 'signs'"):
            bundle.remove("signs")
        bundle.remove("birds")
        with pytest.raises(BundleError, match="the last task"):
            bundle.remove("vehicles")
        bundle.add(paths["birds"])
        assert BundleStore(path).verify() == before
        assert list(bundle.tasks) == ["vehicles", "birds"]

    def test_those_of_other_processes_are_taken_up_by_refresh(
        self, bundle, path, paths, small, expected, rng
    ):
        store, birds = BundleStore(path), bundle.tasks["birds"]
        store.add(read_pack(paths["signs"], small))
        store.remove("vehicles")
        assert list(bundle.tasks) == ["vehicles", "birds"]
        bundle.refresh()
        assert list(bundle.tasks) == ["birds", "signs"] and bundle.tasks["birds"] is birds
        x = photos(rng)
        np.testing.assert_allclose(
            bundle.predict("signs", x).logits, expected["signs"](x), atol=1e-5
        )
        store.remove("signs")  # another one of that name
        store.add(read_pack(paths["vehicles"], small, "signs"))
        bundle.refresh()
        np.testing.assert_allclose(
            bundle.predict("signs", x).logits, expected["vehicles"](x), atol=1e-5
        )

    def test_a_damaged_directory_leaves_it_going(self, bundle, path, paths, small, rng):
        entry = BundleStore(path).add(read_pack(paths["signs"], small)).tasks["signs"]
        (path / "packs" / f"{entry.sha256}.safetensors").write_bytes(b"x")
        with pytest.raises(BundleError, match="the task pack of signs was cut short"):
            bundle.refresh()
        with pytest.raises(BundleError, match="the task pack of signs was cut short"):
            Bundle(path)
        (path / "bundle.json").unlink()
        with pytest.raises(BundleError, match="There is no bundle"):
            bundle.refresh()
        assert list(bundle.tasks) == ["vehicles", "birds"]
        bundle.predict("birds", photos(rng))

    def test_another_bundle_in_its_place(self, bundle, path, small, rng, tmp_path):
        other = type(small)(small.graph, randomise(keras.models.clone_model(small.model), rng))
        pack = read_pack(bundle_packs.write(tmp_path, other)["signs"], other)
        shutil.rmtree(path)
        BundleStore.create(path, other, [pack])
        with pytest.raises(BundleError, match="another universal network now; make a new Bundle"):
            bundle.refresh()

    def test_what_is_removed_is_freed(self, bundle):
        network = weakref.ref(bundle.tasks["birds"].network)
        bundle.remove("birds")
        gc.collect()
        assert network() is None


def test_tasks_come_and_go_while_eight_threads_ask(bundle, paths, expected, rng):
    """Nobody waits for ever, fails or is told another task's answer."""
    requests = {
        name: [(x, expected[name](x)) for x in (photos(rng, 1), photos(rng, 4, 9, 12))]
        for name in bundle_packs.TASKS
    }
    ended = threading.Event()

    def ask(number):
        answered, gone, slowest = 0, 0, 0.0
        order = itertools.cycle(list(requests)[number % 3 :] + list(requests)[: number % 3])
        while not ended.is_set():
            name = next(order)
            for x, logits in requests[name]:
                started = time.perf_counter()
                try:
                    answer = bundle.predict(name, x)
                except BundleError:
                    assert name == "signs"  # the one that comes and goes
                    gone += 1
                    continue
                slowest = max(slowest, time.perf_counter() - started)
                np.testing.assert_allclose(answer.logits, logits, atol=1e-5)
                answered += 1
        return answered, gone, slowest

    with ThreadPoolExecutor(THREADS) as pool:
        threads = [pool.submit(ask, number) for number in range(THREADS)]
        try:
            for _ in range(2):
                bundle.add(paths["signs"])
                time.sleep(0.1)
                bundle.remove("signs")
        finally:
            ended.set()
        answered, gone, slowest = zip(*(thread.result(60) for thread in threads), strict=True)
    print(f"{sum(answered)} answers, highest latency {1e3 * max(slowest):.0f} ms")
    assert min(answered) > 0 and sum(gone) > 0
