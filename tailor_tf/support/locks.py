"""Lock of a working directory: one process at a time works in it."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator

from tailor_tf.support.errors import TailorError

LOCK = "lock"


class InUseError(TailorError):
    """Another process is working in the working directory."""


@contextlib.contextmanager
def locked(workdir: str | os.PathLike) -> Iterator[None]:
    """Locks a working directory while the block runs; the directory is made if it does not exist.

    The lock is the kernel's (`flock`). It ends when its process ends, also when the process is
    killed. It also works between machines on file systems that share such locks, such as NFS.

    Raises:
        InUseError: another process holds the lock; the message names its host and process id.
    """
    path = pathlib.Path(workdir) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(
                f"{path.parent} is in use by {holder(workdir)}. Wait for it to end, stop it, or "
                "use another working directory."
            ) from error
        file.truncate(0)
        json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
        file.flush()
        yield


def holder(workdir: str | os.PathLike) -> str:
    """Process that holds a working directory, or held it last: "process 42 on HOST"."""
    try:
        found = json.loads((pathlib.Path(workdir) / LOCK).read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']}"
    except (OSError, ValueError, KeyError):
        return "another process"  # it has the lock and has not written its name yet
