"""ONNX files of many tasks whose universal kernels lie in one file beside them.

`TASK.onnx` holds all that is the task's, and where in `universal-HASH.bin` the kernels are; any
ONNX runtime reads the two together. The kernels' file holds the whole universal network and is
named by its content, so that it is the same whichever tasks there are.
"""

import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from export import runtimes, shared_tasks
from export.metadata import ArtifactError
from export.onnx import single as onnx
from tailor_tf.backbones.universal import Universal
from tailor_tf.bundle import sharing
from tailor_tf.method.folding import fold
from tailor_tf.method.task_pack import Tailored
from tailor_tf.support.versions import Versions

_PAGE = 4096  # bytes; kernels begin at pages, so that they can be mapped into memory

# What ONNX Runtime would make of kernels for a session of its own: copies.
_COPYING = ("ConvBNFusion", "NchwcTransformer")


def save(folder: str | os.PathLike, tasks: Mapping[str, Tailored]) -> None:
    """Writes `TASK.onnx` of every task, and the file of the kernels that they share.

    Args:
        folder: where; it exists.
        tasks: by name, over one universal network.

    Raises:
        ArtifactError: no task, tasks over different universal networks, a name that cannot be that
            of a file, or kernels that the format would not share.
    """
    import onnx as library

    shared_tasks.check(tasks)
    folder = pathlib.Path(folder)
    universal = next(iter(tasks.values())).universal
    kernels = _Kernels(_universal_kernels(universal), folder)
    for name, tailored in tasks.items():
        network = sharing.shared_network(tailored, universal)
        model, own = _converted(network, universal)
        model.graph.initializer.extend(kernels.reference(key, value) for key, value in own.items())
        onnx.finish(model, shared_tasks.metadata(name, tailored))
        path = folder / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        library.checker.check_model(str(path), full_check=True)


def publish(
    folder: str | os.PathLike, tasks: Mapping[str, Tailored], *, keep_versions: int = 3
) -> pathlib.Path:
    """Writes the files of many tasks as a new version, complete from the moment that it is there.

    They are loaded again and compared with the tasks' own networks first.

    Args:
        folder: of the versions.
        tasks: by name, over one universal network.
        keep_versions: how many versions are kept.

    Returns:
        The new version's folder.

    Raises:
        ArtifactError: as `save`; nothing is published.
        parity.ParityError: a task does not answer as its own network does; nothing is published.
    """

    def write(building: pathlib.Path) -> None:
        save(building, tasks)
        sessions = SharedSessions(building)
        shared_tasks.verify("onnx", lambda task, x: sessions[task].logits(x), tasks)

    return Versions(folder).publish(write, keep_versions)


class SharedSessions(Mapping[str, runtimes.Runtime]):
    """The tasks of a folder in ONNX Runtime, by name, over kernels that are in memory once.

    Sessions of their own would each hold the kernels, wherever their files say that they are.
    Here they are mapped from the file into memory and given to every session. What makes copies of
    them for speed is switched off, so that an answer takes longer than that of a session alone.

    Args:
        folder: what `save` wrote.
        threads: of each session.

    Raises:
        ArtifactError: the folder holds no such files.
    """

    def __init__(self, folder: str | os.PathLike, *, threads: int = 1):
        paths = sorted(pathlib.Path(folder).glob("*.onnx"))
        if not paths:
            raise ArtifactError(f"{os.fspath(folder)} holds no .onnx file.")
        self._files: dict[str, np.ndarray] = {}
        self._values: dict[Any, Any] = {}
        self._runtimes = {path.stem: self._load(path, threads) for path in paths}

    def __getitem__(self, task: str) -> runtimes.Runtime:
        return self._runtimes[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runtimes)

    def __len__(self) -> int:
        return len(self._runtimes)

    def _load(self, path: pathlib.Path, threads: int) -> runtimes.Runtime:
        import onnx as library
        import onnxruntime

        metadata = onnx.read_metadata(path)
        model = library.load(path, load_external_data=False)
        kernels = {
            tensor.name: self._kernel(path.parent, tensor)
            for tensor in model.graph.initializer
            if tensor.data_location == library.TensorProto.EXTERNAL
        }
        options = runtimes.onnx_options(threads)
        options.enable_cpu_mem_arena = False  # or each session keeps room for itself
        for name, kernel in kernels.items():
            options.add_initializer(name, kernel)
        session = onnxruntime.InferenceSession(
            os.fspath(path),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=_COPYING,
        )
        session.kernels = kernels  # which it reads and does not own
        return runtimes.of_onnx(session, metadata)

    def _kernel(self, folder: pathlib.Path, tensor: Any) -> Any:
        """A kernel as a value of ONNX Runtime over the mapped file."""
        import onnxruntime
        from onnx.external_data_helper import ExternalDataInfo

        place = ExternalDataInfo(tensor)
        key = place.location, place.offset, place.length, tuple(tensor.dims)
        if key not in self._values:
            content = self._content(folder, place.location)
            array = content[place.offset : place.offset + place.length]
            array = array.view(np.float32).reshape(tensor.dims)
            self._values[key] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        return self._values[key]

    def _content(self, folder: pathlib.Path, location: str) -> np.ndarray:
        """A file of kernels, mapped into memory."""
        if location not in self._files:
            path = folder / location
            if path.parent != folder or not path.exists() or path.name != _name(path):
                raise ArtifactError(
                    f"The kernels in {path} are missing, cut short or altered; expected the file "
                    "that was written with the tasks. Export them again."
                )
            self._files[location] = np.memmap(path, np.uint8, "r")
        return self._files[location]


def _name(path: pathlib.Path) -> str:
    """What a file of kernels is called, by its content."""
    with open(path, "rb") as file:
        return f"universal-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}.bin"


class _Kernels:
    """A file of arrays one behind the other, each at the beginning of a page.

    Args:
        arrays: float32, by name.
        folder: where the file is written.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], folder: pathlib.Path):
        self._arrays = arrays
        self._offsets: dict[str, int] = {}
        written = folder / "universal"
        with open(written, "wb") as file:
            for key, array in arrays.items():
                file.write(b"\0" * (-file.tell() % _PAGE))
                self._offsets[key] = file.tell()
                file.write(array.tobytes())
        self._name = written.rename(folder / _name(written)).name

    def reference(self, key: str, array: np.ndarray) -> Any:
        """An initializer that says where a kernel lies.

        Raises:
            ArtifactError: the kernel is not the one of this name.
        """
        import onnx as library

        if not np.array_equal(array, self._arrays[key]):
            raise ArtifactError(
                f"The conversion changed the kernel {key}; expected the universal network's own. "
                "Export this task to a file of its own, with pipelines.export."
            )
        tensor = library.TensorProto(
            name=key,
            dims=array.shape,
            data_type=library.TensorProto.FLOAT,
            data_location=library.TensorProto.EXTERNAL,
        )
        place = {"location": self._name, "offset": self._offsets[key], "length": array.nbytes}
        for name, value in place.items():
            tensor.external_data.add(key=name, value=str(value))
        return tensor


class _OpenNetwork(keras.Model):
    """A network as a function of images and the values of some of its variables.

    A converter that does not know a kernel cannot fold anything into it.
    """

    def __init__(self, network: keras.Model, variables: Iterable[keras.Variable]):
        super().__init__(name="net")
        self._network, self._open = network, list(variables)
        self.built = True

    def call(self, inputs):
        images, *values = inputs
        with keras.StatelessScope(zip(self._open, values, strict=True)):
            return self._network(images, training=False)


def _universal_kernels(universal: Universal) -> dict[str, np.ndarray]:
    """All universal kernels by key, as ONNX has them."""
    model = universal.model
    logits = keras.Model(model.input, model.output["logits"], name="net")
    network = fold(logits, shared=sharing.universal_layers(universal))
    return _converted(network, universal)[1]


def _converted(network: keras.Model, universal: Universal) -> tuple[Any, dict[str, np.ndarray]]:
    """A network as an `onnx.ModelProto` without its universal kernels, and those by key."""
    own = {id(variable) for variable in network.weights}
    kernels = {
        key: variable
        for key, variable in sharing.universal_kernels(universal).items()
        if id(variable) in own
    }
    specs = [
        tf.TensorSpec(variable.shape, tf.float32, name=f"kernel{index}")
        for index, variable in enumerate(kernels.values())
    ]
    model = onnx.convert_signature(
        _OpenNetwork(network, kernels.values()), [[onnx.images_signature(network), *specs]]
    )
    inputs = {
        spec.name: (key, np.asarray(variable))
        for spec, (key, variable) in zip(specs, kernels.items(), strict=True)
    }
    return model, _taken_out(model.graph, inputs)


def _taken_out(graph: Any, inputs: Mapping[str, tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Takes kernels out of the inputs of a graph, and the nodes that do nothing but lay them out.

    Args:
        graph: an `onnx.GraphProto`, changed in place; what reads a kernel reads it by its key.
        inputs: key and value of each kernel by the name of its input.

    Returns:
        Kernels by key, laid out as the graph reads them.
    """
    from onnx import numpy_helper, reference

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values, taken = dict(inputs), {}
    for node in list(graph.node):
        keys = {values[name][0] for name in node.input if name in values}
        if keys and all(name in values or name in constants for name in node.input):
            feeds = {n: values[n][1] if n in values else constants[n] for n in node.input}
            (laid_out,) = reference.ReferenceEvaluator(node).run(None, feeds)
            values[node.output[0]] = (*keys, laid_out)
            graph.node.remove(node)
            continue
        taken |= {values[name][0]: values[name][1] for name in node.input if name in values}
        node.input[:] = [values[n][0] if n in values else n for n in node.input]
    for tensor in [value for value in graph.input if value.name in inputs]:
        graph.input.remove(tensor)
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    return taken
