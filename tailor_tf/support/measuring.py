"""Time of functions and memory of processes.

The load of a machine changes from second to second. Functions that are compared therefore take
turns, so that the load affects all of them equally. Their ratio is the figure to look at.
"""

import dataclasses
import multiprocessing
import pathlib
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import numpy as np

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Times:
    """Measured times of one function.

    Attributes:
        turns: seconds of each call, `[turns][calls]`; turns may have different numbers of calls.
    """

    turns: tuple[tuple[float, ...], ...]

    @property
    def calls(self) -> np.ndarray:
        """Seconds of each call, all turns one after the other: float `[calls]`."""
        return np.concatenate(self.turns)

    @property
    def means(self) -> np.ndarray:
        """Mean seconds of a call in each turn: float `[turns]`."""
        return np.array([np.mean(turn) for turn in self.turns])


def in_turns(
    functions: Mapping[_Key, Callable[[], object]],
    *,
    turns: int,
    seconds: float = 0.0,
    warm_up: int = 1,
) -> dict[_Key, Times]:
    """Measures the times of functions that take turns.

    Args:
        functions: the functions, by any name; called in this order in every turn.
        turns: number of measured turns of each function.
        seconds: duration of a turn; a function is called until the time is over, at least once.
        warm_up: number of turns before these that are not measured.

    Returns:
        The times of each function, by its name.
    """
    found: dict[_Key, list[tuple[float, ...]]] = {name: [] for name in functions}
    for number in range(warm_up + turns):
        for name, function in functions.items():
            turn = _turn(function, seconds)
            if number >= warm_up:
                found[name].append(turn)
    return {name: Times(tuple(own)) for name, own in found.items()}


def _turn(function: Callable[[], object], seconds: float) -> tuple[float, ...]:
    """Seconds of each call of one turn."""
    times = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        times.append(seconds_of(function))
    return tuple(times)


def seconds_of(function: Callable[..., object], *arguments: object) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def resident_memory() -> int:
    """Resident memory of this process now, bytes."""
    return _status("VmRSS")


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes."""
    return _status("VmHWM")


def _status(field: str) -> int:
    """A field of `/proc/self/status`, which the kernel gives in KiB, in bytes."""
    lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return int(sizes[field].split()[0]) * 1024


def in_fresh_process(
    function: Callable[..., _Result], *arguments: object, preload: Sequence[str] = ()
) -> _Result:
    """Calls a function in a new process, which ends with the call.

    Args:
        function: a function at the top level of a module, so that it can be pickled.
        *arguments: its arguments; they and the result are pickled.
        preload: modules that the server process imports before it makes the new process, a copy of
            itself. The server starts with the first call; later calls cannot add modules.

    Returns:
        The result of the function.

    Raises:
        concurrent.futures.process.BrokenProcessPool: the process was killed.
        Exception: any error of the function.
    """
    context = multiprocessing.get_context("forkserver")
    if preload:
        context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()
