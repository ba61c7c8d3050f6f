"""Numbered folders that are complete as soon as they appear.

Each has a record, `export.json`. It holds the SHA-256 of every other file, and it is the mark by
which a version is known as one that this class published: only such folders are ever removed.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

from tailor_tf.support import files
from tailor_tf.support.json_text import parsed

RECORD = "export.json"
SUMS = "sha256"  # field of the record: SHA-256 of each file, by its path in the version

_UNFINISHED = ".unfinished-"
_LOCK = ".lock"
_NEW = 60  # seconds; a younger folder may not have its lock yet


class Versions:
    """Versions in a folder, named `1`, `2` and so on, as TensorFlow Serving expects them.

    Args:
        base: the folder; made if it does not exist.

    Raises:
        files.FileKindError: something else is in the place of the folder, such as a link.
    """

    def __init__(self, base: str | os.PathLike):
        self.base = pathlib.Path(base)
        files.check_folder(self.base)
        self.base.mkdir(parents=True, exist_ok=True)

    def numbers(self) -> list[int]:
        """Numbers of the existing versions, oldest first; also of those of other programs."""
        return sorted(int(path.name) for path in self.base.iterdir() if _is_number(path.name))

    @contextlib.contextmanager
    def unfinished(self) -> Iterator[pathlib.Path]:
        """Context manager: yields a new folder whose content may become a version.

        Afterwards the folder is removed, unless `add` has moved it. Folders that killed programs
        left are removed, too; folders of running programs stay.
        """
        for path in self.base.glob(f"{_UNFINISHED}*"):
            _remove_if_left(path)
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
        _record_sums(content)
        for path in (content, *content.rglob("*")):
            files.sync(path)
        while True:
            wanted = number or max([above, *self.numbers()]) + 1
            try:
                os.rename(content, self.base / str(wanted))  # fails if that version exists
                files.sync(self.base)
                return wanted
            except OSError as error:
                taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
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
        """Removes the oldest published versions until `keep` are left, and returns their numbers.

        Folders without a record were not published here. They are neither counted nor removed.
        """
        old = [int(path.name) for path in _published(self.base)[:-keep]]
        for number in old:
            # Renamed before it is removed, so that no half version is ever visible. Another export
            # may have removed it already.
            with self.unfinished() as gone, contextlib.suppress(FileNotFoundError):
                os.rename(self.base / str(number), gone / str(number))
        return old


def existing(base: str | os.PathLike) -> list[pathlib.Path]:
    """The folders of all versions in a folder, oldest first; none if there is no such folder."""
    if not files.is_folder(base):
        return []
    found = [path for path in pathlib.Path(base).iterdir() if _is_number(path.name)]
    return sorted(filter(files.is_folder, found), key=lambda path: int(path.name))


def _published(base: pathlib.Path) -> list[pathlib.Path]:
    """The folders of the versions that were published, oldest first."""
    return [path for path in existing(base) if files.is_file(path / RECORD)]


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 19 and name == str(int(name))


def _record_sums(content: pathlib.Path) -> None:
    """Adds the SHA-256 of all files of a folder to its record, which is made if there is none."""
    path = content / RECORD
    record = parsed(files.read_bytes(path)) if path.exists() else {}
    found = sorted(each for each in content.rglob("*") if each.is_file() and each != path)
    sums = {each.relative_to(content).as_posix(): files.sha256(each) for each in found}
    files.write_text(path, json.dumps({**record, SUMS: sums}, indent=1) + "\n")


def _remove_if_left(folder: pathlib.Path) -> None:
    """Removes a folder of a killed program; nothing that has no lock of such a program in it."""
    if not files.is_folder(folder):
        return
    with contextlib.suppress(OSError, files.FileKindError):  # another program may remove it, too
        if time.time() - folder.stat().st_ctime < _NEW:
            return
        if not any(folder.iterdir()):  # killed before the lock was made
            folder.rmdir()
            return
        with files.opened(folder / _LOCK, os.O_RDWR) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
