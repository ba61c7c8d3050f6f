"""One TFLite file for many tasks: a signature per task, universal kernels stored once.

It is made of the tasks' own files. Equal constants are one, int8 kernels of a universal
convolution among them, see `kernels`; float kernels are made equal first, see `unfolding`. Behind
the flatbuffer the file is a zip archive of `tasks.json`, with classes and preprocessing of every
task.
"""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from export import parity, runtimes
from export.metadata import ArtifactError, Metadata
from export.tflite import flatbuffer, unfolding
from export.tflite import kernels as tflite_kernels
from export.tflite import single as tflite
from tailor_tf.backbones.universal import Universal
from tailor_tf.support import files

TASKS_FILE = "tasks.json"
RANDOM_IMAGES = 16  # that every task is compared on, besides those given
MAX_DIFFERENCE = {"int8": 0.0, "float32": 1e-5, "float16": 2e-2}
"""How far logits may be from those of a task's own file, by the type of its universal kernels;
relative to the largest one where that is above 1."""

_VERSION = 3  # of TFLite's schema


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What tasks take on disk.

    Attributes:
        shared: bytes of the file of all tasks.
        separate: bytes of each task's own file.
    """

    shared: int
    separate: dict[str, int]


def write(
    path: str | os.PathLike,
    artifacts: Mapping[str, str | os.PathLike],
    universal: Universal,
    *,
    images: Mapping[str, np.ndarray] | None = None,
) -> Sizes:
    """Puts the TFLite files of several tasks into one, and compares all of its answers with theirs.

    Args:
        path: of the new file; one that is there is replaced once all is well.
        artifacts: TFLite files of `exporter.export` by task, which is what the signature is called.
        universal: the network that all of them were tailored from.
        images: uint8 images `[images, height, width, 3]` to compare a task's answers on, besides
            random ones, of the size of its metadata's `resize`.

    Raises:
        ArtifactError: no files, one that this project did not write, or one without any kernel of
            the universal network.
        parity.ParityError: a task answers otherwise than in its own file; nothing is written.
    """
    if not artifacts:
        raise ArtifactError("No TFLite files to put together; expected one for each task.")
    paths = {name: pathlib.Path(artifact) for name, artifact in artifacts.items()}
    metadata = {
        name: dataclasses.replace(tflite.read_metadata(own), name=name)
        for name, own in paths.items()
    }
    kernels, contents, limits = tflite_kernels.universal_kernels(universal), {}, {}
    for name, own in paths.items():
        contents[name], found = unfolding.unfold(own.read_bytes(), kernels)
        if not found:
            raise ArtifactError(
                f"{own} holds no kernel of the universal network {universal.graph.name} with "
                f"fingerprint {universal.fingerprint[:16]}; expected a file that pipelines.export "
                "wrote of a task over that network, without sparsity or clusters."
            )
        limits[name] = max(MAX_DIFFERENCE[kind] for kind in found)
    with files.replacing(path) as temporary:
        save(temporary, merge(contents), metadata)
        shared = load(temporary)
        for name, own in paths.items():
            given = (images or {}).get(name)
            _check(name, runtimes.load(own), shared[name], limits[name], given)
        size = temporary.stat().st_size
    return Sizes(size, {name: own.stat().st_size for name, own in paths.items()})


def merge(contents: Mapping[str, bytes]) -> bytes:
    """Puts flatbuffers together, equal constants once.

    Args:
        contents: of `tflite.convert`, by task.

    Returns:
        A flatbuffer with a signature per task, of the task's name, `images` to `logits`.
    """
    merged = schema.ModelT(
        version=_VERSION,
        operatorCodes=[],
        subgraphs=[],
        buffers=[schema.BufferT()],
        signatureDefs=[],
    )
    buffers, codes = {b"": 0}, {}  # the first buffer is that of everything that is computed
    for name, content in contents.items():
        model = flatbuffer.read(content)
        (graph,), (signature,) = model.subgraphs, model.signatureDefs
        for tensor in graph.tensors:
            buffer = model.buffers[tensor.buffer]
            key = b"" if buffer.data is None else buffer.data.tobytes()
            tensor.buffer = _place(merged.buffers, buffers, key, buffer)
            tensor.name = None  # signatures have names of their own
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            key = (code.builtinCode, code.customCode, code.version)
            operator.opcodeIndex = _place(merged.operatorCodes, codes, key, code)
        graph.name = signature.signatureKey = name
        signature.subgraphIndex = len(merged.subgraphs)
        merged.subgraphs.append(graph)
        merged.signatureDefs.append(signature)
    return flatbuffer.write(merged)


def _place(items: list, places: dict, key: object, item: object) -> int:
    """Where an item of that key is in a list; it is added if there is none."""
    if key not in places:
        places[key] = len(items)
        items.append(item)
    return places[key]


def save(path: str | os.PathLike, content: bytes, metadata: Mapping[str, Metadata]) -> None:
    """Writes flatbuffers that were put together, with the metadata of every task."""
    path = pathlib.Path(path)
    path.write_bytes(content)
    text = json.dumps({name: json.loads(own.to_json()) for name, own in metadata.items()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(TASKS_FILE), text)


def read_metadata(path: str | os.PathLike) -> dict[str, Metadata]:
    """Reads the metadata of every task in a file.

    Raises:
        ArtifactError: the file is no TFLite file of many tasks.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            tasks = json.loads(archive.read(TASKS_FILE))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ArtifactError(
            f"{os.fspath(path)} holds no {TASKS_FILE}; expected a TFLite file of many tasks."
        ) from error
    return {name: Metadata.from_json(json.dumps(own)) for name, own in tasks.items()}


def load(path: str | os.PathLike, *, threads: int = 1) -> dict[str, runtimes.Runtime]:
    """Loads a file of many tasks.

    Args:
        path: the file.
        threads: of LiteRT.

    Returns:
        A runtime per task; they share one interpreter, so that one of them runs at a time.

    Raises:
        ArtifactError: the file is no TFLite file of many tasks.
    """
    from ai_edge_litert.interpreter import Interpreter

    metadata = read_metadata(path)
    interpreter = Interpreter(model_path=os.fspath(path), num_threads=threads)
    return {
        name: runtimes.of_signature(interpreter.get_signature_runner(name), own)
        for name, own in metadata.items()
    }


def _check(
    name: str,
    own: runtimes.Runtime,
    shared: runtimes.Runtime,
    limit: float,
    images: np.ndarray | None,
) -> None:
    """Compares a task's answers in the file of all tasks with those in its own.

    Raises:
        parity.ParityError: they differ.
    """
    side = own.metadata.preprocessing.resize
    compared = np.random.default_rng(0).integers(0, 256, (RANDOM_IMAGES, side, side, 3), np.uint8)
    if images is not None:
        compared = np.concatenate([compared, images])
    expected, received = (parity.in_batches(r.logits, compared) for r in (own, shared))
    difference = np.abs(received - expected).max() / max(1.0, np.abs(expected).max())
    if not difference <= limit:
        raise parity.ParityError(
            f"{name} answers otherwise in the file of all tasks than in its own: logits differ by "
            f"{difference:.1e}, expected {limit:.0e} at most."
        )
