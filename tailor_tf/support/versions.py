"""Numbered folders that are complete as soon as they appear."""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

_UNFINISHED = ".unfinished-"
_LOCK = ".lock"
_NEW = 60  # seconds; a younger folder may not have its lock yet


class Versions:
    """Versions in a folder, named `1`, `2` and so on, as TensorFlow Serving expects them.

    Args:
        base: the folder; made if it does not exist.
    """

    def __init__(self, base: str | os.PathLike):
        self.base = pathlib.Path(base)
        self.base.mkdir(parents=True, exist_ok=True)

    def numbers(self) -> list[int]:
        """Numbers of the existing versions, oldest first."""
        return sorted(int(path.name) for path in self.base.iterdir() if path.name.isdecimal())

    @contextlib.contextmanager
    def unfinished(self) -> Iterator[pathlib.Path]:
        """Context manager: yields a new folder whose content may become a version.

        Afterwards the folder is removed, unless `add` has moved it. Folders that killed programs
        left are removed, too; folders of running programs stay.
        """
        for path in self.base.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(OSError), open(path / _LOCK, "a") as lock:
                if time.time() - path.stat().st_ctime < _NEW:
                    continue
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
        folder = pathlib.Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.base))
        try:
            with open(folder / _LOCK, "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                content = folder / "content"
                content.mkdir()
                yield content
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, content: pathlib.Path, number: int | None = None, above: int = 0) -> int:
        """Makes a folder the newest version, in one step.

        Args:
            content: a folder that is not empty, on the same file system; it is moved.
            number: the number of the version; the next free one by default.
            above: lower bound; the next free number is larger than this, too.

        Returns:
            The number of the version. Programs that do this at the same time get different numbers.

        Raises:
            OSError: the number is taken.
        """
        content.chmod(0o755)
        while True:
            wanted = number or max([above, *self.numbers()]) + 1
            try:
                os.rename(content, self.base / str(wanted))  # fails if that version exists
                return wanted
            except OSError as error:
                taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
                if number or not taken:
                    raise

    def publish(self, write: Callable[[pathlib.Path], None], keep: int) -> pathlib.Path:
        """Lets `write` fill a new folder and makes it the newest version.

        Args:
            write: called with the folder; if it raises an error, nothing is published.
            keep: number of versions to keep; older ones are removed.

        Returns:
            The version's folder.
        """
        with self.unfinished() as content:
            write(content)
            number = self.add(content)
        self.remove_old(keep)
        return self.base / str(number)

    def remove_old(self, keep: int) -> list[int]:
        """Removes the oldest versions until `keep` are left, and returns their numbers."""
        old = self.numbers()[:-keep]
        for number in old:
            # Renamed before it is removed, so that no half version is ever visible. Another export
            # may have removed it already.
            with self.unfinished() as gone, contextlib.suppress(FileNotFoundError):
                os.rename(self.base / str(number), gone / str(number))
        return old
