"""A bundle on a full disk: a task can be removed to make room."""

import errno
import os

import pytest

from tailor_tf.support import files
from tests.bundle import bundle_packs


@pytest.fixture
def full_disk(store, monkeypatch):
    """Text is written only while the store has fewer files than now."""
    write_text, before = files.write_text, len(bundle_packs.packs_of(store))

    def write(path, text):
        if len(bundle_packs.packs_of(store)) == before:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_text(path, text)

    monkeypatch.setattr(files, "write_text", write)


def test_a_task_is_removed_to_make_room(store, full_disk):
    assert list(store.remove("birds").tasks) == ["vehicles"]
    assert len(bundle_packs.packs_of(store)) == 1
    assert store.verify() == store.read()


def test_other_errors_remove_nothing(store, monkeypatch):
    def refuse(path, text):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    before = bundle_packs.files(store)
    monkeypatch.setattr(files, "write_text", refuse)
    with pytest.raises(PermissionError):
        store.remove("birds")
    assert bundle_packs.files(store) == before
