"""The command `tailor-tf`: all programs under one name.

`tailor-tf NAME FLAGS` is `python -m pipelines.NAME FLAGS` of an installed package. The list of
programs is read from their files: importing one of them takes seconds, as all use TensorFlow.
"""

import ast
import pathlib
import runpy
import sys

import tailor_tf
from pipelines.common import chatter, interrupts

COMMAND = "tailor-tf"
_PACKAGE, _, _ = __package__.rpartition(".")  # of the programs: pipelines, or within tailor_tf
_STATUS = 2  # exit status for an unknown program, as `program` has it for other mistakes


def programs() -> dict[str, pathlib.Path]:
    """The files of all programs by name."""
    files = sorted(pathlib.Path(__file__).parents[1].glob("*.py"))
    return {file.stem: file for file in files if file.stem != "__init__"}


def usage() -> str:
    """The help of the command: a line for each program, the first one of its docstring."""
    found = {name: _first_line(file) for name, file in programs().items()}
    width = max(map(len, found))
    return "\n".join(
        [
            f"usage: {COMMAND} NAME FLAGS",
            "",
            tailor_tf.__doc__.partition("\n")[0],
            "",
            *(f"  {name:{width}}  {line}" for name, line in found.items()),
            "",
            f"{COMMAND} NAME --help lists the flags of a program, {COMMAND} --version the version.",
        ]
    )


def _first_line(file: pathlib.Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))).partition("\n")[0]


def main() -> None:
    """Runs the program that the first argument names, with the other arguments."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        print(usage())
    elif name == "--version":
        print(tailor_tf.__version__)
    elif name not in programs():
        expected = ", ".join(programs())
        print(f"Error: {name!r} is no program; expected one of {expected}.", file=sys.stderr)
        sys.exit(_STATUS)
    else:
        interrupts.end_quietly()
        chatter.silence()
        del sys.argv[1]
        runpy.run_module(f"{_PACKAGE}.{name}", run_name="__main__", alter_sys=True)
