"""Ctrl-C and SIGTERM: exit statuses, and a program that still imports its libraries."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import NoReturn

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
_WORDS = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated"}

_received: list[int] = []  # the signals that have asked this program to end


class Ended(KeyboardInterrupt):
    """A signal has asked the program to end.

    Args:
        number: the signal, `SIGINT` or `SIGTERM`.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def message(number: int, redo: bool = False) -> str:
    """The program's last words.

    Args:
        number: the signal.
        redo: whether the command has removed results that it should not remove again.
    """
    without = ", without --redo," if redo else ""
    return f"{_WORDS[signal.Signals(number)]}; the same command{without} continues."


def end_quietly() -> None:
    """Ends the program without a stack trace on Ctrl-C, while it imports its libraries."""
    signal.signal(signal.SIGINT, _exit)


def raise_ended() -> None:
    """Raises `Ended` on Ctrl-C and SIGTERM, so that temporary folders are removed."""
    for number in STATUS:
        signal.signal(number, _raise)


@contextlib.contextmanager
def nothing_else() -> Iterator[None]:
    """Context manager: after a signal, every error is `Ended`.

    Libraries in C make a `SystemError` of an exception that they do not expect.

    Raises:
        Ended: the block has failed, and a signal had asked the program to end.
    """
    try:
        yield
    except Exception as error:
        if not _received:
            raise
        raise Ended(_received[0]) from error


def _exit(number: int, frame: object) -> NoReturn:
    os.write(2, f"\n{message(number)}\n".encode())
    os._exit(STATUS[signal.Signals(number)])  # an exception may be lost within an import


def _raise(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second time, at once
    _received.append(number)
    raise Ended(number)
