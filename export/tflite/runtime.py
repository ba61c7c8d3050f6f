"""TFLite files in LiteRT, behind the common interface."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.runtimes import Runtime, normaliser
from export.tflite import litert, single
from tailor_tf.data.task_info import TaskInfo


def load(path: pathlib.Path, threads: int) -> Runtime:
    """Loads a TFLite file of one task to run with a number of threads.

    Raises:
        ArtifactError: the file is no TFLite file of this project, or LiteRT cannot run it.
    """
    info = single.read_info(path)
    single.check(path)
    interpreter = litert.interpreter(path, threads)
    with litert.explained(path):
        (image,), (logits,) = interpreter.get_input_details(), interpreter.get_output_details()
    normalise = normaliser(info.preprocessing)

    def prepare(images: np.ndarray) -> np.ndarray:
        return _quantised(normalise(images), image)

    @litert.explained(path)
    def run(images: np.ndarray) -> np.ndarray:
        if tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
            interpreter.resize_tensor_input(image["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(image["index"], images)
        interpreter.invoke()
        return _dequantised(interpreter.get_tensor(logits["index"]), logits)

    with litert.explained(path):
        interpreter.allocate_tensors()
    return Runtime(info, prepare, run)


def of_signature(path: str | os.PathLike, runner: Any, info: TaskInfo) -> Runtime:
    """One task of a TFLite file of many, behind the common interface.

    Args:
        path: the file, for error messages.
        runner: LiteRT's `SignatureRunner`, from `images` to `logits`.
        info: the task.
    """
    image, logits = runner.get_input_details()["images"], runner.get_output_details()["logits"]
    normalise = normaliser(info.preprocessing)

    @litert.explained(path)
    def run(images: np.ndarray) -> np.ndarray:
        return _dequantised(runner(images=images)["logits"], logits)

    return Runtime(info, lambda images: _quantised(normalise(images), image), run)


def _quantised(values: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """Floats in the type of a tensor with such details."""
    if details["dtype"] is np.float32:
        return values
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    levels = np.round(values / scale) + zero_point
    return np.clip(levels, limits.min, limits.max).astype(details["dtype"])


def _dequantised(values: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """The inverse of `_quantised`, to rounding."""
    if details["dtype"] is np.float32:
        return values
    scale, zero_point = details["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)
