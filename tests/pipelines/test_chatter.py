"""TensorFlow's chatter is dropped from standard error, and nothing else is."""

import os
import subprocess
import sys

import pytest

from pipelines.common import chatter
from tests.programs import ROOT

CHATTER = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n",
    b"I0000 00:00:1795594655.937161    2487 port.cc:153] oneDNN custom operations are on.\n",
    b"W0000 00:00:1795595271.509945    9830 tf_tfl_flatbuffer_helpers.cc:364] Ignored output_fo\n",
    b"E0000 00:00:1795594659.338454    2487 cuda_platform.cc:52] failed call to cuInit: INTERNA\n",
    b"To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow\n",
    b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n",
)
WORDS = (
    b"E0000 00:00:1795594659.338454    2487 gpu_device.cc:12] out of memory\n",
    b"F0000 00:00:1795594659.338454    2487 tensor.cc:12] Check failed: it is over\n",
    b"W1125 09:35:01.123456 140735 folder.py:80] Skipped 2 file(s) or folder(s) in flowers\n",
    b"Error: There is no bundle at I0000; expected a directory\n",
    b"Traceback (most recent call last):\n",
    b"INFO: something else\n",
    b"\n",
)


@pytest.mark.parametrize("line", CHATTER)
def test_chatter(line):
    assert chatter.is_chatter(line)


@pytest.mark.parametrize("line", WORDS)
def test_words(line):
    assert not chatter.is_chatter(line)


TALKING = """
import os, sys
sys.argv = ["-m"]
import pipelines
for line in {lines}:
    os.write(2, line)
print("last words", file=sys.stderr)
{end}
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError('x')", "os.abort()"])
def test_a_program_that_ends_or_crashes_keeps_its_last_words(end):
    code = TALKING.format(lines=[*CHATTER, *WORDS, b"no end of line"], end=end)
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60)
    written = b"".join(WORDS) + b"no end of linelast words\n"
    assert run.stderr.startswith(written)
    assert (b"ValueError: x" in run.stderr) == ("ValueError" in end)
    assert run.returncode == {"": 0, "sys.exit(3)": 3, "os.abort()": -6}.get(end, 1)


def test_a_progress_bar_is_seen_while_it_grows():
    code = TALKING.format(lines=[b"\r25 %"], end="sys.stdin.readline()")
    command = [sys.executable, "-c", code.replace('print("last words", file=sys.stderr)', "")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as run:
        assert run.stderr.read(5) == b"\r25 %"  # the program waits for a line from here
        run.communicate(b"\n", timeout=60)
    assert run.returncode == 0


def test_a_person_may_ask_for_all_of_it():
    name, value = chatter.SHOW_ALL
    code = TALKING.format(lines=list(CHATTER), end="")
    options = {"cwd": ROOT, "env": {**os.environ, name: value}, "capture_output": True}
    run = subprocess.run([sys.executable, "-c", code], timeout=60, **options)
    assert run.stderr == b"".join(CHATTER) + b"last words\n"


def test_a_program_prints_its_message_and_nothing_else(tmp_path):
    """Also into files, and with a name that is not UTF-8."""
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    command = [sys.executable, "-m", "pipelines.report", b"--workdirs=" + folder]
    printed, errors = tmp_path / "printed", tmp_path / "errors"
    with printed.open("wb") as out, errors.open("wb") as err:
        run = subprocess.run(command, cwd=ROOT, stdout=out, stderr=err, timeout=120)
    assert run.returncode == 2 and printed.read_bytes() == b""
    said = errors.read_text()
    assert said.startswith(f"Error: {tmp_path}/caf\\udce9/records holds no record")
    assert said.count("\n") == 1
