"""ONNX files in ONNX Runtime, behind the common interface."""

import os
import pathlib
from typing import Any

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
    session = onnxruntime.InferenceSession(os.fspath(path), options(threads), PROVIDERS)
    return of_session(session, info)


def options(threads: int) -> Any:
    """The `onnxruntime.SessionOptions` of a session with a number of threads."""
    import onnxruntime

    found = onnxruntime.SessionOptions()
    found.intra_op_num_threads = threads
    found.inter_op_num_threads = 1
    return found


def of_session(session: Any, info: TaskInfo) -> Runtime:
    """An `onnxruntime.InferenceSession` behind the common interface."""
    return Runtime(
        info,
        normaliser(info.preprocessing),
        lambda images: session.run(["logits"], {"images": images})[0],
    )
