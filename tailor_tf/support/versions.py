"""Numbered folders, each complete from the moment that it is there."""

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
_NEW = 60  # seconds in which a folder may not have its lock yet


class Versions:
    """The versions in a folder, `1`, `2` and so on, as TensorFlow Serving looks for them.

    Args:
        base: the folder; made where it does not exist.
    """

    def __init__(self, base: str | os.PathLike):
        self.base = pathlib.Path(base)
        self.base.mkdir(parents=True, exist_ok=True)

    def numbers(self) -> list[int]:
        """The versions that are there, oldest first."""
        return sorted(int(path.name) for path in self.base.iterdir() if path.name.isdecimal())

    @contextlib.contextmanager
    def unfinished(self) -> Iterator[pathlib.Path]:
        """Yields a new folder for what is to become a version; gone afterwards if it did not.

        What killed programs left is removed; a folder whose program lives is left alone.
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
            content: a folder with something in it, on the same file system; it moves.
            number: which version; the next one by default.
            above: the next one is larger than this, too.

        Returns:
            Its number. Of programs that do this at once each has a number of its own.

        Raises:
            OSError: the number is taken.
        """
        content.chmod(0o755)
        while True:
            wanted = number or max([above, *self.numbers()]) + 1
            try:
                os.rename(content, self.base / str(wanted))  # fails where there is a version
                return wanted
            except OSError as error:
                taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
                if number or not taken:
                    raise

    def publish(self, write: Callable[[pathlib.Path], None], keep: int) -> pathlib.Path:
        """Makes what `write` puts into a new folder the newest version.

        Args:
            write: called with the folder; where it fails, nothing is published.
            keep: how many versions are kept.

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
            # No moment in which half a version is there; another export may be faster.
            with self.unfinished() as gone, contextlib.suppress(FileNotFoundError):
                os.rename(self.base / str(number), gone / str(number))
        return old
