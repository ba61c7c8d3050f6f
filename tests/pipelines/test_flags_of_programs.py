"""Programs with each value of each flag that parsing accepts, up to the point where files are read.

All files that are named are missing, so that every program has to end with one message, whatever
the flag is, and must leave nothing behind.
"""

import os
import pathlib
import runpy
import signal
import sys
import tempfile

import numpy as np
import pytest

from tailor_tf import backbones, save_universal
from tests import builders
from tests.fuzz.watching import STUCK, check
from tests.pipelines.test_flags import NUMBERS, TEXTS
from tests.programs import ROOT, in_fork, own_flags, parsed

pytestmark = pytest.mark.slow
BASE = {
    "tailor": ["--task=folder:missing", "--universal={universal}", "--workdir={folder}/run"],
    "pretrain": ["--task=folder:missing", "--workdir={folder}/run"],
    "export": ["--workdir={folder}/run", "--universal={universal}"],
    "bundle": ["create", "--bundle={folder}/bundle", "--task_pack={folder}/pack"],
    "decathlon": ["--workdir={folder}/runs", "--flagfiles={folder}/flags", "--domains=dtd"],
    "predict": ["--artifact={folder}/a.onnx", "photo.jpg"],
    "report": ["--workdirs={folder}/run"],
}
VALUES = [*NUMBERS.values(), *TEXTS.values(), "0.5", "1", "3", "~/missing", "."]


@pytest.fixture(scope="module")
def universal(tmp_path_factory):
    graph = backbones.create("wide_resnet26", image_size=16, width=0.125)
    path = tmp_path_factory.mktemp("universal") / "universal.safetensors"
    save_universal(path, graph, builders.universal(graph, np.random.default_rng(1)).model)
    return str(path)


def _accepted(name, base):
    """Commands of a program whose flags are accepted: its base, and one flag more."""
    names = own_flags(f"pipelines.{name}")
    commands = [[*base, f"--{flag}={value}"] for flag in names for value in VALUES]
    answers = parsed(f"pipelines.{name}", commands)
    return [
        command for command, (_, status, _) in zip(commands, answers, strict=True) if not status
    ]


def _run_all(name, commands):
    """Exit status, output, processor's seconds and memory of each command, each in a fork."""
    import tailor_tf  # noqa: F401  imported once

    return [_run(name, command) for command in commands]


def _run(name, command):
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            signal.alarm(STUCK)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            sys.argv = [name, *command]
            _exit_with(name)
        _, status, used = os.wait4(child, 0)
        seconds, taken = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
        output.seek(0)
        text = output.read().decode(errors="backslashreplace")
        return os.waitstatus_to_exitcode(status), text, seconds, taken


def _exit_with(name):
    status = 1
    try:
        runpy.run_module(f"pipelines.{name}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@pytest.mark.parametrize("name", BASE)
def test_whatever_is_accepted_ends_in_one_message(name, universal, tmp_path):
    base = [text.format(folder=tmp_path, universal=universal) for text in BASE[name]]
    commands = in_fork(_accepted, name, base)
    assert len(commands) >= 10
    before = _tree(ROOT)
    results = in_fork(_run_all, name, commands)
    for command, (status, output, seconds, taken) in zip(commands, results, strict=True):
        check(seconds, taken)
        assert status == 2, (command, output)
        assert "Traceback" not in output, (command, output)
        assert output.splitlines()[-1].startswith("Error: "), (command, output)
    assert not list(tmp_path.iterdir())
    assert _tree(ROOT) == before


def _tree(folder: pathlib.Path):
    """Entries of the checkout, where relative paths would be made."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
