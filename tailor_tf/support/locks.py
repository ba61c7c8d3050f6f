"""One process at a time in a working directory."""

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
    """A working directory that another process is at work in."""


@contextlib.contextmanager
def locked(workdir: str | os.PathLike) -> Iterator[None]:
    """Holds a working directory, which is made where it does not exist.

    The lock is the kernel's (`flock`): it ends with its process however that ends, and holds
    between machines on file systems that share such locks, as NFS does.

    Raises:
        InUseError: another process holds it; names its host and process id.
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
    """Who holds a working directory, or held it last, in words."""
    try:
        found = json.loads((pathlib.Path(workdir) / LOCK).read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']}"
    except (OSError, ValueError, KeyError):
        return "another process"  # it has the lock and has not said its name yet
