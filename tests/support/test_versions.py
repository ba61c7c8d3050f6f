import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tailor_tf.support.versions import Versions

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
