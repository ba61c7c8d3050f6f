import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tailor_tf.support.files import FileKindError
from tailor_tf.support.versions import Versions
from tests.support import kinds

FILES = 30

PUBLISH = textwrap.dedent("""
    import sys
    from tailor_tf.support.versions import Versions
    versions = Versions(sys.argv[1])
    while True:
        with versions.unfinished() as content:
            for index in range({files}):
                (content / str(index)).write_text("x" * 2000)
            versions.add(content)
        versions.remove_old(3)
        print("added", flush=True)
""").format(files=FILES)


def _complete(folder):
    return all((folder / str(i)).stat().st_size == 2000 for i in range(FILES))


def test_numbers(tmp_path):
    versions = Versions(tmp_path / "model")
    for number in (1, 2, 3):
        with versions.unfinished() as content:
            (content / "file").write_text("x")
            assert versions.add(content) == number
    assert versions.numbers() == [1, 2, 3]
    assert versions.remove_old(2) == [1]
    assert versions.numbers() == [2, 3]
    assert sorted(path.name for path in versions.base.iterdir()) == ["2", "3"]


def test_failure_leaves_nothing(tmp_path):
    versions = Versions(tmp_path)
    with pytest.raises(ZeroDivisionError), versions.unfinished() as content:
        (content / "file").write_text("x")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_number_that_is_taken(tmp_path):
    versions = Versions(tmp_path)
    for _ in range(2):
        with versions.unfinished() as content:
            (content / "file").write_text("x")
            if versions.numbers():
                with pytest.raises(OSError, match="not empty"):
                    versions.add(content, 1)
            else:
                versions.add(content, 1)
    assert versions.numbers() == [1]


def test_many_at_once_get_a_number_each(tmp_path):
    def publish(index):
        versions = Versions(tmp_path)
        with versions.unfinished() as content:
            (content / "who").write_text(str(index))
            return versions.add(content)

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(publish, range(24)))
    assert sorted(numbers) == list(range(1, 25))
    for index, number in enumerate(numbers):
        assert (tmp_path / str(number) / "who").read_text() == str(index)


def test_killed_at_random_moments(tmp_path):
    """Twenty kills: whatever is a number is whole, and what was left is cleared away later."""
    chance = random.Random(0)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISH, tmp_path], stdout=subprocess.PIPE, env=environment
        )
        process.stdout.readline()  # it is at work
        time.sleep(chance.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        numbers = Versions(tmp_path).numbers()
        assert numbers
        assert all(_complete(tmp_path / str(number)) for number in numbers)


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path, monkeypatch):
    versions = Versions(tmp_path)
    dead = tmp_path / ".unfinished-dead"
    dead.mkdir()
    with versions.unfinished() as first:
        assert dead.exists()  # it may be so new that it has no lock yet
        monkeypatch.setattr("tailor_tf.support.versions._NEW", 0)
        with versions.unfinished() as second:
            assert not dead.exists()
            assert first.exists() and second.exists()


def publish(versions, keep=9):
    return versions.publish(lambda folder: (folder / "file").write_text("x"), keep)


class TestWhatWasNotPublished:
    """Folders of other programs are never removed, whatever their names."""

    def test_numbered_folders_without_a_record(self, tmp_path):
        for number in (1, 2, 7):
            (tmp_path / str(number)).mkdir()
            (tmp_path / str(number) / "photo.jpg").write_text("theirs")
        before = kinds.content(tmp_path)
        versions = Versions(tmp_path)
        assert [publish(versions, keep=1).name for _ in range(3)] == ["8", "9", "10"]
        after = kinds.content(tmp_path)
        assert before.items() <= after.items()
        assert {path.name for path in tmp_path.iterdir()} == {"1", "2", "7", "10"}

    def test_links_to_versions_of_others(self, tmp_path):
        theirs = Versions(tmp_path / "theirs")
        publish(theirs)
        ours = Versions(tmp_path / "ours")
        (ours.base / "1").symlink_to(theirs.base / "1")
        for _ in range(3):
            publish(ours, keep=1)
        assert theirs.numbers() == [1] and (theirs.base / "1" / "file").exists()

    @pytest.mark.parametrize("make", [*kinds.LINKS, *kinds.SPECIAL])
    def test_no_folder_of_versions(self, tmp_path, make):
        (tmp_path / "outside").mkdir()
        make(tmp_path / "model", tmp_path / "outside")
        before = kinds.content(tmp_path / "outside")
        with pytest.raises(FileKindError, match=r"model is a .*; expected a folder"):
            Versions(tmp_path / "model")
        assert kinds.content(tmp_path / "outside") == before

    def test_unfinished_folders_of_others(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tailor_tf.support.versions._NEW", 0)
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "photo.jpg").write_text("theirs")
        versions = Versions(tmp_path / "model")
        (versions.base / ".unfinished-link").symlink_to(outside)
        theirs = versions.base / ".unfinished-business"
        theirs.mkdir()
        (theirs / "photo.jpg").write_text("theirs")
        locked = versions.base / ".unfinished-lock"
        locked.mkdir()
        (locked / ".lock").symlink_to(outside / "photo.jpg")
        publish(versions)
        assert kinds.content(outside) == {pathlib.Path("photo.jpg"): b"theirs"}
        assert (theirs / "photo.jpg").exists() and locked.exists()


def test_sums(tmp_path):
    def write(folder):
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_bytes(b"content")
        (folder / "export.json").write_text('{"task": "digits"}')

    version = Versions(tmp_path).publish(write, 1)
    digest = hashlib.sha256(b"content").hexdigest()
    record = json.loads((version / "export.json").read_text())
    assert record == {"task": "digits", "sha256": {"sub/file": digest}}
