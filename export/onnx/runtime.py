"""ONNX files in ONNX Runtime, behind the common interface."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from export.metadata import ArtifactError
from export.onnx import single
from export.runtimes import Runtime, normaliser
from tailor_tf.data.task_info import TaskInfo

PROVIDERS = ("CPUExecutionProvider",)


def load(path: pathlib.Path, threads: int) -> Runtime:
    """Loads an ONNX file to run with a number of threads.

    Raises:
        ArtifactError: the file is no ONNX file of this project.
    """
    import onnxruntime

    info = single.read_info(path)
    single.check(path)
    with explained(path):
        session = onnxruntime.InferenceSession(os.fspath(path), options(threads), PROVIDERS)
    return of_session(path, session, info)


@contextlib.contextmanager
def explained(path: str | os.PathLike) -> Iterator[None]:
    """Context manager: an error of ONNX Runtime over a file becomes one that names the file.

    Raises:
        ArtifactError: ONNX Runtime cannot load or run the file.
    """
    try:
        yield
    except ArtifactError:
        raise
    except Exception as error:  # its classes have nothing in common, and may lack UTF-8
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ArtifactError(
            f"ONNX Runtime cannot run {os.fspath(path)}: {reason[:300]} Export the task again."
        ) from error


def options(threads: int) -> Any:
    """The `onnxruntime.SessionOptions` of a session with a number of threads."""
    import onnxruntime

    found = onnxruntime.SessionOptions()
    found.intra_op_num_threads = threads
    found.inter_op_num_threads = 1
    return found


def of_session(path: str | os.PathLike, session: Any, info: TaskInfo) -> Runtime:
    """An `onnxruntime.InferenceSession` of a file behind the common interface."""

    @explained(path)
    def run(images: np.ndarray) -> np.ndarray:
        return session.run(["logits"], {"images": images})[0]

    return Runtime(info, normaliser(info.preprocessing), run)
