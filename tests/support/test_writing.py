"""Files that are replaced in one step: who may read them, and what a full disk leaves."""

import errno
import os
import stat

import pytest

from tailor_tf.support import files
from tailor_tf.support.versions import Versions


@pytest.fixture
def umask():
    """Sets the umask for a test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_says_who_may_read_a_file(tmp_path, umask, mask, mode):
    umask(mask)
    files.write_text(tmp_path / "folder" / "file", "text")
    assert stat.S_IMODE((tmp_path / "folder" / "file").stat().st_mode) == mode


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o755), (0o077, 0o700)])
def test_the_umask_says_who_may_read_a_version(tmp_path, umask, mask, mode):
    umask(mask)
    version = Versions(tmp_path / "task").publish(lambda folder: None, keep=1)
    assert stat.S_IMODE(version.stat().st_mode) == mode


def fail(temporary, filename):
    temporary.write_text("half a te")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), filename)


@pytest.mark.parametrize("is_named", [False, True])
def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path, is_named):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(OSError, match=rf"No space left on device: '{path}'") as raised:  # noqa: SIM117
        with files.replacing(path) as temporary:
            fail(temporary, str(temporary) if is_named else None)
    assert raised.value.errno == errno.ENOSPC
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_over_other_files_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), files.replacing(tmp_path / "file"):
        (tmp_path / "other").read_text()


def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        files.write_text(tmp_path / "file" / "below", "text")
