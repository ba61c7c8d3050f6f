"""Programs that are asked to end: status, message, and nothing left in the temporary folder."""

import os
import signal
import time

import pytest

from tests.programs import started


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (signal.SIGTERM, 143, "Terminated; the same command continues."),
        (signal.SIGINT, 130, "Interrupted; the same command continues."),
    ],
)
def test_a_program_that_is_asked_to_end_cleans_up(tmp_path, monkeypatch, number, status, message):
    temporary, output = tmp_path / "temporary", tmp_path / "output"
    temporary.mkdir()
    flags = (
        "--flagfile=pipelines/flags/digits.txt",
        "--strategy=mirrored",
        f"--workdir={tmp_path / 'run'}",
    )
    monkeypatch.setenv("TMPDIR", str(temporary))
    process = started("tailor", *flags, output=output)
    wait_until(lambda: output.exists() and "Epoch" in output.read_text())
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == status, output.read_text()
    text = output.read_text()
    assert text.rstrip().endswith(message) and "Traceback" not in text
    assert list(temporary.iterdir()) == []


def wait_until(is_true, seconds=120):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)
