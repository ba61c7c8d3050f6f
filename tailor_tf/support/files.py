"""Files: written in one step, and read only where they are regular files.

A killed program leaves the old file or the new one, never a part. Links, pipes and devices in the
place of a file or folder of this project are refused, as they may lead to files of other programs.
"""

import contextlib
import hashlib
import os
import pathlib
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

from tailor_tf.support.errors import TailorError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# Without a wait for a writer, if a pipe takes the place of a file after it was looked at.
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileKindError(TailorError):
    """Something else in the place of a regular file or a folder."""


class TooLargeError(TailorError):
    """A file that is larger than everything that this project writes in its place."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Context manager: yields a temporary path beside `path`, renamed to `path` on success.

    The file is on the disk before it has its name, so that not even a power failure leaves a part
    of it. The user's umask says who may read it.

    Raises:
        OSError: the file cannot be written, as on a full disk; the message names `path`.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: str | os.PathLike) -> None:
    """Writes a file or the entries of a folder from the system's memory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path` in one piece."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def opened(path: str | os.PathLike, flags: int = os.O_RDONLY) -> Iterator[BinaryIO]:
    """Context manager: a regular file, opened without following a link.

    Args:
        path: the file.
        flags: flags of `os.open`, such as `os.O_RDWR | os.O_CREAT`.

    Raises:
        FileKindError: there is a link, a folder, a pipe or a device; it is not opened.
        OSError: there is no such file, or it cannot be opened.
    """
    check_file(path)
    handle = os.open(path, flags | _SAFELY, 0o666)
    with os.fdopen(handle, "rb" if flags == os.O_RDONLY else "r+b") as file:
        _check_kind(path, os.fstat(handle), stat.S_IFREG, "a regular file")
        yield file


def read_bytes(path: str | os.PathLike, most: int | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        most: largest size that is read, bytes; any size by default.

    Raises:
        TooLargeError: the file is larger.
        FileKindError, OSError: as of `opened`.
    """
    with opened(path) as file:
        content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise TooLargeError(f"{os.fspath(path)} has more than {most:,} bytes; expected fewer.")
    return content


def read_text(path: str | os.PathLike, most: int | None = None) -> str:
    """The content of a regular file as UTF-8; arguments and errors as of `read_bytes`.

    Raises:
        UnicodeDecodeError: the file is no UTF-8.
    """
    return read_bytes(path, most).decode()


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of the content of a regular file, in hex; errors as of `opened`."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file(path: str | os.PathLike) -> bool:
    """Whether there is a regular file, not reached by a link."""
    return _is(path, stat.S_IFREG)


def is_folder(path: str | os.PathLike) -> bool:
    """Whether there is a folder, not reached by a link."""
    return _is(path, stat.S_IFDIR)


def check_file(path: str | os.PathLike, *, follow: bool = False) -> None:
    """Refuses anything but a regular file, or nothing, at a path; does not open it.

    Args:
        path: the path.
        follow: whether a link to a regular file will do, as in a path that a person gives.

    Raises:
        FileKindError: there is a folder, a pipe or a device, or a link.
    """
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path, follow_symlinks=follow)
        _check_kind(path, found, stat.S_IFREG, "a regular file")


def check_folder(path: str | os.PathLike) -> None:
    """Refuses anything but a folder, or nothing, at a path.

    Raises:
        FileKindError: there is a link, a file, a pipe or a device.
    """
    with contextlib.suppress(FileNotFoundError):
        _check_kind(path, os.lstat(path), stat.S_IFDIR, "a folder")


def _is(path: str | os.PathLike, kind: int) -> bool:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode) == kind
    except OSError:
        return False


def _check_kind(path: str | os.PathLike, found: os.stat_result, kind: int, expected: str) -> None:
    received = stat.S_IFMT(found.st_mode)
    if received != kind:
        raise FileKindError(
            f"{os.fspath(path)} is {_KINDS.get(received, 'a regular file')}; expected {expected}, "
            "as this program writes it. Remove it, or use another folder."
        )
