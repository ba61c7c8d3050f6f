"""Artifacts in their own runtimes: TensorFlow, LiteRT and ONNX Runtime, behind one face.

Nothing of the network comes from elsewhere: preprocessing and classes are those of the file.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from export.metadata import ArtifactError, Metadata
from export.onnx import single as onnx
from export.saved_model import single as saved_model
from export.tflite import single as tflite
from tailor_tf.data.batches import central_window


@dataclasses.dataclass(frozen=True, eq=False)
class Runtime:
    """An artifact, loaded.

    Attributes:
        metadata: what the artifact says of itself.
        prepare: from uint8 images `[batch, resize, resize, 3]` to what `run` takes.
        run: from prepared images to logits `[batch, classes]`, float32.
    """

    metadata: Metadata
    prepare: Callable[[np.ndarray], np.ndarray]
    run: Callable[[np.ndarray], np.ndarray]

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits `[batch, classes]` of uint8 images `[batch, resize, resize, 3]`."""
        return self.run(self.prepare(images))


def load(path: str | os.PathLike, *, threads: int = 1) -> Runtime:
    """Loads an artifact: a `.tflite` or `.onnx` file, or the folder of a SavedModel.

    Args:
        path: the artifact.
        threads: of LiteRT and ONNX Runtime; TensorFlow has one setting for the whole process.

    Raises:
        ArtifactError: the artifact is missing, damaged, or none of this project.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ArtifactError(f"There is no artifact {path}; pipelines.export writes them.")
    loaders = {".tflite": _load_tflite, ".onnx": _load_onnx}
    if path.suffix not in loaders and not path.is_dir():
        raise ArtifactError(
            f"{path} is no artifact; expected a .tflite or .onnx file or a SavedModel's folder."
        )
    return loaders.get(path.suffix, _load_saved_model)(path, threads)


def _normalise(metadata: Metadata) -> Callable[[np.ndarray], np.ndarray]:
    """From uint8 images to float32 ones, in NumPy: a caller's own reading of the metadata."""
    preprocessing = metadata.preprocessing
    mean, std = (np.float32(values) for values in (preprocessing.mean, preprocessing.std))

    def normalise(images):
        window = central_window(images, preprocessing.image_size)
        return (window.astype(np.float32) / 255 - mean) / std

    return normalise


def _load_tflite(path: pathlib.Path, threads: int) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    metadata = tflite.read_metadata(path)
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    (image,), (logits,) = interpreter.get_input_details(), interpreter.get_output_details()
    normalise = _normalise(metadata)

    def prepare(images):
        return _quantised(normalise(images), image)

    def run(images):
        if tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
            interpreter.resize_tensor_input(image["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(image["index"], images)
        interpreter.invoke()
        return _dequantised(interpreter.get_tensor(logits["index"]), logits)

    interpreter.allocate_tensors()
    return Runtime(metadata, prepare, run)


def of_signature(runner: Any, metadata: Metadata) -> Runtime:
    """The runtime of one task in a TFLite file of several.

    Args:
        runner: LiteRT's `SignatureRunner`, from `images` to `logits`.
        metadata: the task's.
    """
    image, logits = runner.get_input_details()["images"], runner.get_output_details()["logits"]
    normalise = _normalise(metadata)
    return Runtime(
        metadata,
        lambda images: _quantised(normalise(images), image),
        lambda images: _dequantised(runner(images=images)["logits"], logits),
    )


def _quantised(values: np.ndarray, details: dict) -> np.ndarray:
    if details["dtype"] is np.float32:
        return values
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    levels = np.round(values / scale) + zero_point
    return np.clip(levels, limits.min, limits.max).astype(details["dtype"])


def _dequantised(values: np.ndarray, details: dict) -> np.ndarray:
    if details["dtype"] is np.float32:
        return values
    scale, zero_point = details["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def _load_onnx(path: pathlib.Path, threads: int) -> Runtime:
    import onnxruntime

    metadata = onnx.read_metadata(path)
    session = onnxruntime.InferenceSession(
        os.fspath(path), onnx_options(threads), providers=["CPUExecutionProvider"]
    )
    return of_onnx(session, metadata)


def onnx_options(threads: int) -> Any:
    """The `onnxruntime.SessionOptions` of a session with so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return options


def of_onnx(session: Any, metadata: Metadata) -> Runtime:
    """An `onnxruntime.InferenceSession` behind the common face."""
    return Runtime(
        metadata,
        _normalise(metadata),
        lambda images: session.run(["logits"], {"images": images})[0],
    )


def _load_saved_model(path: pathlib.Path, threads: int) -> Runtime:
    del threads  # a setting of the process, see tf.config.threading
    loaded, metadata = saved_model.load(path)
    return of_saved_model(loaded.signatures["serving_default"], metadata)


def of_saved_model(signature: Callable[..., Any], metadata: Metadata) -> Runtime:
    """The signature of a SavedModel that takes tensors, behind the common face."""

    def run(images):
        return signature(images=tf.constant(images))["logits"].numpy()

    return Runtime(metadata, lambda images: images, run)
