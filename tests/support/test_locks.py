"""Two processes never work in one directory, and a dead one is in nobody's way."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from tailor_tf.support import locks

HOLD = """
import sys
from tailor_tf.support import locks
with locks.locked(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A process that holds `tmp_path` until its input ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], **pipes) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path, other):
    message = f"{tmp_path} is in use by process {other.pid} on {socket.gethostname()}"
    with pytest.raises(locks.InUseError, match=message), locks.locked(tmp_path):
        pass
    other.communicate(timeout=60)
    with locks.locked(tmp_path):
        assert locks.holder(tmp_path) == f"process {os.getpid()} on {socket.gethostname()}"


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait(60)
    with locks.locked(tmp_path):
        pass


def test_the_folder_is_made(tmp_path):
    with locks.locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / "lock").exists()
