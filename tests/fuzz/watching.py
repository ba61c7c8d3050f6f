"""Watching of code that reads wrong inputs: time, memory, and what it does to other files."""

import contextlib
import faulthandler
import os
import pathlib
import signal
import sys
import time

from tailor_tf.support.measuring import peak_memory, resident_memory

SECONDS = 10  # of an input
MEMORY = 2 * 10**9  # bytes of a process
_READING = MEMORY // 2  # of them for an input; a program with TensorFlow itself takes less

STUCK = 60  # seconds after which a process ends that handles no signal, or waits

_CHANGES = {  # events of Python's audit hooks, with the positions of paths among their arguments
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "shutil.rmtree": (0,),
}
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_state = {"allowed": None, "found": []}


def _hook(event, arguments):
    if _state["allowed"] is None:
        return
    if event in _FORBIDDEN:
        _state["found"].append((event, arguments))
    elif event == "open" and arguments[2] and arguments[2] & _WRITING:
        _check(event, arguments[0])
    for place in _CHANGES.get(event, ()):
        _check(event, arguments[place])


def _check(event, path):
    if isinstance(path, int):
        return  # a file that is open already
    path = pathlib.Path(os.path.realpath(os.fsdecode(path)))
    inside = path.is_relative_to(_state["allowed"])
    if not inside and str(path) != os.devnull and path.parent.name != "__pycache__":
        _state["found"].append((event, str(path)))


sys.addaudithook(_hook)  # which nothing can remove; it does nothing outside of `watched`


@contextlib.contextmanager
def bounded():
    """Context manager: what runs in it ends in `SECONDS` and takes no more memory than `_READING`.

    What earlier tests left in memory does not count.
    """

    def out_of_time(number, frame):
        raise AssertionError(f"it took more than {SECONDS} s")

    pathlib.Path("/proc/self/clear_refs").write_text("5")  # `peak_memory` starts anew
    before, started = resident_memory(), time.monotonic()
    handler = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(STUCK, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        check(time.monotonic() - started, peak_memory() - before, _READING)


def check(seconds, taken, most=MEMORY):
    """Fails on an input that took too long or too much memory, `taken` of `most` bytes."""
    assert seconds < SECONDS, f"it took {seconds:.1f} s"
    assert taken < most, f"it took {taken / 1e9:.2f} GB"


@contextlib.contextmanager
def watched(folder):
    """Context manager: what runs in it is `bounded` and changes nothing outside a folder."""
    with bounded():
        _state.update(allowed=pathlib.Path(os.path.realpath(folder)), found=[])
        try:
            yield
        finally:
            _state["allowed"] = None
    assert not _state["found"]
