"""Clocks, memory and processes that measurements are made with."""

import itertools
import mmap
import subprocess
import sys

import numpy as np
import pytest

from tailor_tf.support import measuring

PREAMBLE = """
import os, sys
from concurrent.futures.process import BrokenProcessPool
from tailor_tf.support.measuring import in_fresh_process
"""
PRELOADED = """
imported = in_fresh_process(eval, "'colorsys' in __import__('sys').modules", preload=["colorsys"])
print(imported, "colorsys" in sys.modules)
"""
FAILING = """
for function, argument in ((float, "seven"), (os._exit, 1)):
    try:
        in_fresh_process(function, argument)
    except (ValueError, BrokenProcessPool) as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until its time is set forward."""
    now = [100.0]
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: now[0])

    def spend(seconds):
        now[0] += seconds

    return spend


def test_functions_take_turns(clock):
    order = []

    def function(name):
        order.append(name)
        clock(0.01)

    functions = {name: lambda name=name: function(name) for name in "ab"}
    times = measuring.in_turns(functions, turns=3, seconds=0.04)
    assert set(times) == {"a", "b"}
    turns = [name for place, name in enumerate(order) if place == 0 or order[place - 1] != name]
    assert turns == list("abababab")
    assert times["a"].calls.shape == (3 * 4,)


def test_turns_that_warm_up_do_not_count(clock):
    spent = itertools.count(1)  # the function takes a second more with each call
    times = measuring.in_turns({"a": lambda: clock(next(spent))}, turns=2, warm_up=3)
    assert times["a"].turns == ((4.0,), (5.0,))


def test_a_turn_lasts_until_its_seconds_are_over(clock):
    spent = itertools.cycle([1.0, 3.0])
    times = measuring.in_turns({"a": lambda: clock(next(spent))}, turns=2, seconds=5.0, warm_up=0)
    assert times["a"].turns == ((1.0, 3.0, 1.0), (3.0, 1.0, 3.0))
    np.testing.assert_allclose(times["a"].means, [5 / 3, 7 / 3])
    np.testing.assert_array_equal(times["a"].calls, [1, 3, 1, 3, 1, 3])


def test_a_function_that_takes_longer_than_a_turn_is_called_once(clock):
    times = measuring.in_turns({"a": lambda: clock(7.0)}, turns=2, seconds=0.04)
    assert times["a"].turns == ((7.0,), (7.0,))


def test_seconds_of_one_call(clock):
    assert measuring.seconds_of(clock, 2.5) == 2.5


def test_memory_grows_with_what_is_held():
    before = measuring.resident_memory()
    held = mmap.mmap(-1, 64 << 20)  # not memory that earlier tests have left to the process
    held.write(bytes(len(held)))
    assert measuring.resident_memory() - before > 0.9 * len(held)
    assert measuring.peak_memory() >= measuring.resident_memory()


def _output(program):
    """Output lines of a Python program: one of its own, as its fresh processes share a server."""
    command = [sys.executable, "-c", f"{PREAMBLE}\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_functions_run_in_processes_of_their_own():
    calls = "in_fresh_process(os.getpid), in_fresh_process(os.getpid)"
    (line,) = _output(f"print(os.getpid(), {calls})")
    assert len(set(line.split())) == 3


def test_modules_are_imported_before_the_call():
    assert _output(PRELOADED) == ["True False"]


def test_what_goes_wrong_in_the_process_is_an_error_of_the_call():
    own, killed = _output(FAILING)
    assert own == "ValueError could not convert string to float: 'seven'"
    assert killed.startswith("BrokenProcessPool")


def test_nothing_heavy_is_imported():
    (line,) = _output("print(*sys.modules)")
    assert not {"tensorflow", "keras"} & set(line.split())
