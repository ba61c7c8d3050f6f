"""Runs the programs for tests."""

import contextlib
import importlib
import io
import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile
from collections.abc import Callable, Collection
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]

# A program spends seconds on importing TensorFlow. A server imports it once, without using it,
# and every program is a fork of that server.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["tailor_tf", "export.exporter", "export.bundle", "sklearn.datasets"]
)


def started(
    name: str, *flags: str, output: os.PathLike = os.devnull, without: Collection[str] = ()
):
    """Starts a program as `python -m pipelines.NAME FLAGS` does; returns its process.

    Args:
        name: the program's.
        *flags: its arguments.
        output: file that receives all that it prints.
        without: modules that the program cannot import, as if they were not installed.
    """
    process = _SERVER.Process(target=_run, args=(name, flags, output, tuple(without)))
    process.start()
    return process


def program(
    name: str, *flags: str, timeout: float = 300, without: Collection[str] = ()
) -> tuple[int, str]:
    """Runs a program; returns its exit status, and all that it printed."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "output"
        process = started(name, *flags, output=output, without=without)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{name} took longer than {timeout} s: {output.read_text()}")
        return process.exitcode, output.read_text()


def _run(name, flags, output, without):
    sys.modules.update(dict.fromkeys(without))
    with open(output, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(ROOT)
    sys.argv = [name, *flags]
    runpy.run_module(f"pipelines.{name}", run_name="__main__", alter_sys=True)


def in_fork(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a fork of the server, where flags of one program may be defined."""
    receiver, sender = _SERVER.Pipe(duplex=False)
    process = _SERVER.Process(target=_send, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _send(sender, function, arguments):
    os.chdir(ROOT)
    sender.send(function(*arguments))


def parsed(module: str, commands: list[list[str]]) -> list[tuple[str, int, dict[str, Any]]]:
    """Parses the flags of a program's commands, in this process.

    Returns:
        For each command what it printed, its exit status, 0 if all flags were accepted, and the
        values of the program's own flags.
    """
    importlib.import_module(module)
    from absl import flags

    from pipelines.common import program as running

    answers = []
    for command in commands:
        flags.FLAGS.unparse_flags()
        errors, status = io.StringIO(), 0
        with contextlib.redirect_stderr(errors):
            try:
                running.parse([module, *command])
            except SystemExit as end:
                status = end.code
        answers.append((errors.getvalue(), status, {} if status else _values(flags.FLAGS)))
    return answers


def own_flags(module: str) -> list[str]:
    """Names of the flags that a program defines."""
    importlib.import_module(module)
    from absl import flags

    found = flags.FLAGS.flags_by_module_dict().items()
    own = {f.name for place, each in found if place.startswith(_PACKAGES) for f in each}
    return sorted(own)


_PACKAGES = ("pipelines.", "benchmarks.")


def _values(found):
    return {name: found[name].value for name in found if name not in ("help", "helpfull")}
