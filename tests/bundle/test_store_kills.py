"""Killed changes of a bundle: the old state or the new one, and no remains."""

import functools
import os
import random
import signal
import statistics
import sys
import time

import pytest

from tailor_tf.bundle.store import BundleStore
from tests.bundle import bundle_packs

KILLS = 20
FILE_EVENTS = ("open", "os.", "tempfile.", "fcntl.", "shutil.")


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
    assert bundle_packs.packs_of(store) == sorted(f"{sha256}.safetensors" for sha256 in named)
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
        typical = statistics.median(durations)  # of a busy machine, the longest is far too long
        killed = changed = 0
        while killed < KILLS:
            process = forked(act)
            time.sleep(chance.uniform(0, typical))
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
