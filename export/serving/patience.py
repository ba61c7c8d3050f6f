"""Time limit of a call to a server, and further attempts while the server loads its model."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from export.serving.answers import ServerError, UnavailableError

TIMEOUT = 30.0  # seconds of a call, with all its attempts
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 4.0  # seconds between attempts, doubled each time
_LOADING = ("START", "LOADING")  # states of a model's version that becomes available by itself

_Result = TypeVar("_Result")


class Deadline:
    """The end of a call.

    Args:
        seconds: time until then.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until the end; behind it a millisecond, because 0 is no time limit of sockets."""
        return max(self._end - time.monotonic(), 1e-3)


def answered(
    place: str,
    deadline: Deadline,
    ask: Callable[[], _Result],
    states: Callable[[], list[str]],
) -> _Result:
    """The result of `ask`, which is tried again while the model is being loaded.

    Args:
        place: the server, for the error.
        deadline: the end of all attempts.
        ask: raises `UnavailableError` if the server does not have the model, perhaps not yet.
        states: the states of the model's versions at the server.

    Raises:
        ServerError: the last error of `ask`, or the model is still being loaded at the end.
    """
    wait = _FIRST_WAIT
    while True:
        try:
            return ask()
        except UnavailableError:
            if not set(_LOADING) & set(states()):
                raise
        if deadline.left <= wait:
            raise ServerError(
                f"{place} is still loading the model after {deadline.seconds:g} s. Try again, or "
                "wait longer with --timeout."
            )
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)


def within(place: str, deadline: Deadline, call: Callable[[], _Result]) -> _Result:
    """The result of a call that may block, such as on a server that sends a byte now and then.

    Socket timeouts start anew with every byte. The call therefore has a thread of its own, which
    is left alone at the deadline.

    Raises:
        ServerError: there is no result at the deadline.
    """
    outcome: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # raised below, in the thread that waits
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(deadline.left)
    if not outcome:
        raise too_late(place, deadline)
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def too_late(place: str, deadline: Deadline) -> ServerError:
    """The error for a server without an answer at the deadline."""
    return ServerError(
        f"{place} has not answered within {deadline.seconds:g} s. Try again, or wait longer with "
        "--timeout."
    )
