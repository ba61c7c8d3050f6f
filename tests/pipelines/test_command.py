"""The command `tailor-tf`, as its script in an environment starts it."""

import re
import subprocess
import sys

import pytest

import tailor_tf
from pipelines.common import command
from tests.pipelines.test_flags import MODULES
from tests.programs import ROOT

SCRIPT = """
import sys
from pipelines.common.command import main
sys.argv[0] = "bin/tailor-tf"
main()
print(*sys.modules)
"""


def _said(*arguments):
    options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 120}
    return subprocess.run([sys.executable, "-c", SCRIPT, *arguments], check=False, **options)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_list_of_programs_is_complete_and_imports_little(arguments):
    run = _said(*arguments)
    *listed, modules = run.stdout.splitlines()
    names = re.findall(r"^  (\w+) +\w", "\n".join(listed), re.M)
    assert [f"pipelines.{name}" for name in names] == [m for m in MODULES if "pipelines" in m]
    assert run.returncode == 0 and run.stderr == ""
    assert {"tensorflow", "keras", "numpy", "absl"}.isdisjoint(modules.split())


def test_the_version():
    assert _said("--version").stdout.splitlines()[0] == tailor_tf.__version__


@pytest.mark.parametrize("name", ["tailr", "common", "--workdir=runs", "../x", "", "\x1b[2J"])
def test_an_unknown_program(name):
    run = _said(name)
    assert run.returncode == 2 and run.stdout == ""
    expected = ", ".join(command.programs())
    assert run.stderr == f"Error: {name!r} is no program; expected one of {expected}.\n"


def test_a_program_gets_the_other_arguments(tmp_path):
    run = _said("report", f"--workdirs={tmp_path}")
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith(f"Error: {tmp_path}/records holds no record")
    assert run.stderr.count("\n") == 1
