"""Programs that are asked to end: status, message, and nothing left in the temporary folder."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pipelines.common import interrupts
from tests.programs import ROOT

PROGRAM = (sys.executable, "-m", "pipelines.tailor")


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (signal.SIGTERM, 143, "Terminated; the same command continues."),
        pytest.param(
            signal.SIGINT,
            130,
            "Interrupted; the same command continues.",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_program_that_is_asked_to_end_cleans_up(tmp_path, number, status, message):
    temporary, output = tmp_path / "temporary", tmp_path / "output"
    temporary.mkdir()
    flags = ("--flagfile=pipelines/flags/digits.txt", "--strategy=mirrored")
    with open(output, "w") as file:
        process = subprocess.Popen(
            [*PROGRAM, *flags, f"--workdir={tmp_path / 'run'}"],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    wait_until(lambda: "Epoch" in output.read_text())
    process.send_signal(number)
    assert process.wait(60) == status, output.read_text()
    text = output.read_text()
    assert text.rstrip().endswith(message) and "Traceback" not in text
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("received", [[], [signal.SIGTERM]])
def test_what_c_code_makes_of_a_signal_is_the_end_as_well(monkeypatch, received):
    monkeypatch.setattr(interrupts, "_received", received)
    expected = interrupts.Ended if received else SystemError
    with pytest.raises(expected) as caught, interrupts.nothing_else():
        raise SystemError("returned a result with an exception set")
    assert getattr(caught.value, "number", None) == (received[0] if received else None)


def wait_until(is_true, seconds=120):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_ctrl_c_while_libraries_are_imported_gives_one_message(tmp_path, seconds):
    command = [*PROGRAM, f"--workdir={tmp_path / 'run'}"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    assert text.strip() in ("Interrupted; the same command continues.", "")
    assert not (tmp_path / "run").exists()
