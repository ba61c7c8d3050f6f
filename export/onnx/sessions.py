"""ONNX files of many tasks in one process, over kernels that are in memory once."""

import hashlib
import os
import pathlib
from typing import Any

import numpy as np

from export.metadata import ArtifactError
from export.onnx import runtime, single
from export.runtimes import Runtime

# Optimisations of ONNX Runtime that would copy kernels for each session.
_COPYING = ("ConvBNFusion", "NchwcTransformer")

FILE_NAME = "universal-{}.bin"  # of the kernels, with the begin of their SHA-256


def load(folder: str | os.PathLike, *, threads: int = 1) -> dict[str, Runtime]:
    """Loads the files of many tasks over kernels that are in memory once.

    Sessions of their own would each hold the kernels, wherever their files say that they are.
    Here they are mapped from the file into memory and given to every session. Optimisations that
    make copies of them are switched off, so that an answer takes longer than in a session alone.

    Args:
        folder: the folder that `shared.save` wrote.
        threads: threads of each session.

    Returns:
        A runtime per task, by name; any of them outlives the others.

    Raises:
        ArtifactError: the folder holds no such files, or their kernels are damaged.
    """
    paths = sorted(pathlib.Path(folder).glob("*.onnx"))
    if not paths:
        raise ArtifactError(f"{os.fspath(folder)} holds no .onnx file.")
    kernels = _MappedKernels(pathlib.Path(folder))
    return {path.stem: _runtime(path, kernels, threads) for path in paths}


def _runtime(path: pathlib.Path, mapped: "_MappedKernels", threads: int) -> Runtime:
    """One task's file, its session over mapped kernels."""
    import onnx
    import onnxruntime

    info = single.read_info(path)
    model = onnx.load(path, load_external_data=False)
    outside = onnx.TensorProto.EXTERNAL
    with runtime.explained(path):
        kernels = {
            tensor.name: mapped.value(tensor)
            for tensor in model.graph.initializer
            if tensor.data_location == outside
        }
    single.check(path)
    options = runtime.options(threads)
    options.enable_cpu_mem_arena = False  # or each session keeps room for itself
    for name, kernel in kernels.items():
        options.add_initializer(name, kernel)
    with runtime.explained(path):
        session = onnxruntime.InferenceSession(
            os.fspath(path), options, runtime.PROVIDERS, disabled_optimizers=_COPYING
        )
    session.kernels = kernels  # the session reads them and does not own them
    return runtime.of_session(path, session, info)


class _MappedKernels:
    """Kernels of the files in a folder, each mapped into memory once.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._files: dict[str, np.ndarray] = {}
        self._values: dict[Any, Any] = {}

    def value(self, tensor: Any) -> Any:
        """The kernel that an `onnx.TensorProto` names, as an `onnxruntime.OrtValue`.

        Raises:
            ArtifactError: the file that it lies in is damaged.
        """
        import onnxruntime
        from onnx.external_data_helper import ExternalDataInfo

        place = ExternalDataInfo(tensor)
        key = place.location, place.offset, place.length, tuple(tensor.dims)
        if key not in self._values:
            content = self._content(place.location)[place.offset : place.offset + place.length]
            array = content.view(np.float32).reshape(tensor.dims)
            self._values[key] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        return self._values[key]

    def _content(self, location: str) -> np.ndarray:
        """A file of kernels as bytes, mapped into memory."""
        if location not in self._files:
            path = self._folder / location
            if path.parent != self._folder or not path.exists() or path.name != file_name(path):
                raise ArtifactError(
                    f"The kernels in {path} are missing, cut short or altered; expected the file "
                    "that was written with the tasks. Export them again."
                )
            self._files[location] = np.memmap(path, np.uint8, "r")
        return self._files[location]


def file_name(path: pathlib.Path) -> str:
    """Name of a file of kernels, by its content."""
    with open(path, "rb") as file:
        return FILE_NAME.format(hashlib.file_digest(file, "sha256").hexdigest()[:16])
