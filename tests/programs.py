"""Runs the programs for tests."""

import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]

# A program spends seconds on importing TensorFlow. A server imports it once, without using it,
# and every program is a fork of that server.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["tailor_tf", "export.exporter", "export.bundle", "sklearn.datasets"]
)


def started(name: str, *flags: str, output: os.PathLike = os.devnull):
    """Starts a program as `python -m pipelines.NAME FLAGS` does; returns its process.

    Args:
        name: the program's.
        *flags: its arguments.
        output: file that receives all that it prints.
    """
    process = _SERVER.Process(target=_run, args=(name, flags, output))
    process.start()
    return process


def program(name: str, *flags: str, timeout: float = 300) -> tuple[int, str]:
    """Runs a program; returns its exit status, and all that it printed."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "output"
        process = started(name, *flags, output=output)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{name} took longer than {timeout} s: {output.read_text()}")
        return process.exitcode, output.read_text()


def _run(name, flags, output):
    with open(output, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(ROOT)
    sys.argv = [name, *flags]
    runpy.run_module(f"pipelines.{name}", run_name="__main__", alter_sys=True)
