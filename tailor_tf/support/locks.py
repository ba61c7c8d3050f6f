"""Lock of a working directory: one process at a time works in it."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator

from tailor_tf.support import files
from tailor_tf.support.errors import TailorError
from tailor_tf.support.json_text import parsed

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
        files.FileKindError: a link or a pipe is in the place of the lock; nothing is written.
    """
    path = pathlib.Path(workdir) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.opened(path, os.O_RDWR | os.O_CREAT) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(
                f"{path.parent} is in use by {holder(workdir)}. Wait for it to end, stop it, or "
                "use another working directory."
            ) from error
        file.truncate(0)
        file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
        file.flush()
        yield


def holder(workdir: str | os.PathLike) -> str:
    """Process that holds a working directory, or held it last: "process 42 on HOST"."""
    try:
        found = parsed(files.read_bytes(pathlib.Path(workdir) / LOCK))
        return f"process {found['pid']} on {found['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has the lock and has not written its name yet
