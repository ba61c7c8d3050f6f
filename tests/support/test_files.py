"""Only regular files and real folders are read and written; nothing else is opened."""

import hashlib
import os

import pytest

from tailor_tf.support import files, locks
from tailor_tf.support.files import FileKindError, TooLargeError
from tests.support import kinds


@pytest.fixture
def outside(tmp_path):
    """A folder of another program, which stays as it is."""
    (tmp_path / "outside").mkdir()
    return tmp_path / "outside"


@pytest.fixture
def place(tmp_path):
    """A path in a folder of this program."""
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside" / "file"


NO_FILES = (*kinds.LINKS, *kinds.SPECIAL)


@pytest.mark.parametrize("make", NO_FILES)
@pytest.mark.parametrize("read", [files.read_bytes, files.read_text, files.sha256])
def test_what_is_no_file_is_not_read(make, read, place, outside):
    make(place, outside)
    with pytest.raises(FileKindError, match=rf"{place} is a .*; expected a regular file"):
        read(place)
    assert not files.is_file(place) and not files.is_folder(place)


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_file_is_not_written(make, place, outside):
    make(place, outside)
    before = kinds.content(outside)
    with (
        pytest.raises(FileKindError),
        files.opened(place, os.O_RDWR | os.O_CREAT) as file,
    ):
        file.write(b"ours")
    assert kinds.content(outside) == before


@pytest.mark.parametrize("make", NO_FILES)
def test_lock_that_leads_elsewhere(make, place, outside):
    make(place.parent / locks.LOCK, outside)
    before = kinds.content(outside)
    with pytest.raises(FileKindError, match="lock is a"), locks.locked(place.parent):
        pass
    assert kinds.content(outside) == before


@pytest.mark.parametrize("make", [*NO_FILES, lambda path, outside: path.write_text("x")])
def test_what_is_no_folder(make, place, outside):
    make(place, outside)
    with pytest.raises(FileKindError, match="expected a folder"):
        files.check_folder(place)


@pytest.mark.parametrize("make", kinds.LINKS)
def test_writing_replaces_a_link_and_not_its_target(make, place, outside):
    make(place, outside)
    before = kinds.content(outside)
    files.write_text(place, "ours")
    assert kinds.content(outside) == before
    assert place.read_text() == "ours" and not place.is_symlink()


def test_regular_files(place):
    place.write_bytes(b"content")
    assert files.read_bytes(place) == files.read_bytes(place, 7) == b"content"
    assert files.read_text(place) == "content"
    assert files.sha256(place) == hashlib.sha256(b"content").hexdigest()
    assert files.is_file(place) and files.is_folder(place.parent)
    files.check_file(place)
    files.check_folder(place.parent)
    files.check_folder(place.parent / "none")
    with pytest.raises(TooLargeError, match=r"file has more than 6 bytes; expected fewer"):
        files.read_bytes(place, 6)
    with pytest.raises(FileNotFoundError):
        files.read_bytes(place.parent / "none")


def test_a_path_that_a_person_gives_may_be_a_link_to_a_file(place, outside):
    kinds.link(place, outside)
    files.check_file(place, follow=True)
    place.unlink()
    kinds.pipe(place, outside)
    with pytest.raises(FileKindError, match="is a pipe; expected a regular file"):
        files.check_file(place, follow=True)
