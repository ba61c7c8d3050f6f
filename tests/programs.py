"""Runs the programs for tests."""

import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]

# A program spends seconds on importing TensorFlow. A server imports it once, without starting it,
# and every program is a fork of that; `benchmarks/` and the slow tests start whole processes.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tailor_tf", "export.exporter", "export.bundle", "sklearn.datasets"])


def program(name: str, *flags: str, timeout: float = 300) -> tuple[int, str]:
    """Runs a program as `python -m pipelines.NAME FLAGS` does, in a process of its own.

    Returns:
        Its exit status, and all that it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "output"
        process = _SERVER.Process(target=_run, args=(name, flags, output))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{name} took longer than {timeout} s: {output.read_text()}")
        return process.exitcode, output.read_text()


def _run(name, flags, output):
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(ROOT)
    sys.argv = [name, *flags]
    runpy.run_module(f"pipelines.{name}", run_name="__main__", alter_sys=True)
