"""ONNX files of many tasks whose universal kernels lie in one file beside them.

`TASK.onnx` holds everything of the task, and the places of the kernels in `universal-HASH.bin`; any
ONNX runtime reads the two together. The kernels' file holds the whole universal network and is
named by its content, so that it is the same whichever tasks there are.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from export import shared_tasks
from export.metadata import ArtifactError
from export.onnx import opening, sessions, single
from export.runtimes import Runtime
from export.shared_format import SharedFormat, SharedSubject
from tailor_tf.bundle import sharing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.task_pack import TailoredTask

_PAGE = 4096  # bytes; kernels begin at pages, so that they can be mapped into memory


class SharedONNX(SharedFormat):
    """A folder of ONNX files over one file of kernels."""

    name = "onnx"

    def write(self, folder: pathlib.Path, subject: SharedSubject) -> None:
        save(folder, subject.tasks)

    def recognises(self, path: pathlib.Path) -> bool:
        return path.is_dir() and any(path.glob(sessions.FILE_NAME.format("*")))

    def infos(self, version: pathlib.Path) -> Mapping[str, TaskInfo]:
        return {path.stem: single.read_info(path) for path in sorted(version.glob("*.onnx"))}

    def load(self, path: pathlib.Path, threads: int) -> Mapping[str, Runtime]:
        return sessions.load(path, threads=threads)


def save(folder: str | os.PathLike, tasks: Mapping[str, TailoredTask]) -> None:
    """Writes `TASK.onnx` of every task, and the file of the kernels that they share.

    Args:
        folder: a folder that exists.
        tasks: tasks over one universal network, by name.

    Raises:
        ArtifactError: no task, tasks over different universal networks, a name that cannot be the
            name of a file, or kernels that the format would not share.
    """
    import onnx

    shared_tasks.check(tasks)
    folder = pathlib.Path(folder)
    universal = shared_tasks.universal_of(tasks)
    kernels = _KernelFile.write(opening.universal_kernels(universal), folder)
    for name, task in tasks.items():
        network = sharing.shared_network(task.student, universal)
        model, own = opening.convert(network, universal)
        model.graph.initializer.extend(kernels.reference(key, value) for key, value in own.items())
        single.finish(model, shared_tasks.info(name, task))
        path = folder / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(path), full_check=True)


@dataclasses.dataclass(frozen=True, eq=False)
class _KernelFile:
    """A file of kernels one behind the other, each at the beginning of a page.

    Attributes:
        name: name of the file.
        kernels: float32, by key.
        offsets: first byte of each kernel, by key.
    """

    name: str
    kernels: Mapping[str, np.ndarray]
    offsets: Mapping[str, int]

    @classmethod
    def write(cls, kernels: Mapping[str, np.ndarray], folder: pathlib.Path) -> "_KernelFile":
        """Writes kernels into a file of a folder."""
        written, offsets = folder / "universal", {}
        with open(written, "wb") as file:
            for key, array in kernels.items():
                file.write(b"\0" * (-file.tell() % _PAGE))
                offsets[key] = file.tell()
                file.write(array.tobytes())
        return cls(written.rename(folder / sessions.file_name(written)).name, kernels, offsets)

    def reference(self, key: str, array: np.ndarray) -> Any:
        """An `onnx.TensorProto` that says where a kernel lies.

        Raises:
            ArtifactError: the kernel is not the one of this key.
        """
        import onnx

        if not np.array_equal(array, self.kernels[key]):
            raise ArtifactError(
                f"The conversion changed the kernel {key}; expected the universal network's own. "
                "Export this task to a file of its own, with pipelines.export."
            )
        tensor = onnx.TensorProto(
            name=key,
            dims=array.shape,
            data_type=onnx.TensorProto.FLOAT,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        place = {"location": self.name, "offset": self.offsets[key], "length": array.nbytes}
        for name, value in place.items():
            tensor.external_data.add(key=name, value=str(value))
        return tensor
