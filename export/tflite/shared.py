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
from typing import Any

import numpy as np

from export import metadata, parity, shared_tasks
from export.metadata import ArtifactError
from export.runtimes import Runtime
from export.shared_format import SharedFormat, SharedSubject
from export.tflite import kernels, litert, own_files, runtime, single
from tailor_tf.backbones.universal import Universal
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.support import archives, files
from tailor_tf.support.json_text import parsed

TASKS_FILE = "tasks.json"
RANDOM_IMAGES = 16  # that every task is compared on, besides given ones
MAX_DIFFERENCE = {"int8": 0.0, "float32": 1e-5, "float16": 2e-2}
"""How far logits may be from the logits of a task's own file, by the type of its universal kernels;
relative to the largest one where that is above 1."""


class SharedTFLite(SharedFormat):
    """TFLite files of many tasks, a file per precision, put together from the tasks' own files."""

    name = "tflite"
    needs_files = True
    precisions = ("int8", "float32", "float16")

    def require(self, subject: SharedSubject) -> None:
        for precision in subject.precisions:
            own_files.find(subject, precision)

    def write(self, folder: pathlib.Path, subject: SharedSubject) -> None:
        universal = shared_tasks.universal_of(subject.tasks)
        for precision in subject.precisions:
            write(folder / f"{precision}.tflite", own_files.find(subject, precision), universal)

    def compare(self, folder: pathlib.Path, subject: SharedSubject) -> None:
        """Nothing is left to compare: `write` compares with the tasks' own files."""

    def infos(self, version: pathlib.Path) -> Mapping[str, TaskInfo]:
        return read_infos(next(version.glob("*.tflite"), version))

    def recognises(self, path: pathlib.Path) -> bool:
        return path.suffix == ".tflite"

    def load(self, path: pathlib.Path, threads: int) -> Mapping[str, Runtime]:
        return load(path, threads=threads)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes on disk of tasks together and alone.

    Attributes:
        shared: bytes of the file of all tasks.
        separate: bytes of each task's own file, by task.
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
        path: the new file; one that is there is replaced once all is well.
        artifacts: TFLite files of `exporter.export` by task; signatures have the tasks' names.
        universal: the network that all of them were tailored from.
        images: uint8 images `[images, height, width, 3]` to compare a task's answers on, besides
            random ones, of the size of its preprocessing's `resize`.

    Raises:
        ArtifactError: no files, one that this project did not write, or one without any kernel of
            the universal network.
        parity.ParityError: a task answers otherwise than in its own file; nothing is written.
    """
    from export.tflite import merging  # LiteRT's schema, which not every installation has

    if not artifacts:
        raise ArtifactError("No TFLite files to put together; expected one for each task.")
    paths = {name: pathlib.Path(artifact) for name, artifact in artifacts.items()}
    infos = {
        name: dataclasses.replace(single.read_info(own), name=name) for name, own in paths.items()
    }
    contents, limits = _unfolded(paths, universal)
    with files.replacing(path) as temporary:
        save(temporary, merging.merge(contents), infos)
        shared = load(temporary)
        for name, own in paths.items():
            given = (images or {}).get(name)
            _check(name, runtime.load(own, 1), shared[name], limits[name], given)
        size = temporary.stat().st_size
    return Sizes(size, {name: own.stat().st_size for name, own in paths.items()})


def _unfolded(
    paths: Mapping[str, pathlib.Path], universal: Universal
) -> tuple[dict[str, bytes], dict[str, float]]:
    """Files with universal kernels as they are in the universal network, and limits of logits."""
    from export.tflite import unfolding  # likewise

    universal_kernels, contents, limits = kernels.universal_kernels(universal), {}, {}
    for name, own in paths.items():
        contents[name], found = unfolding.unfold(own.read_bytes(), universal_kernels)
        if not found:
            raise ArtifactError(
                f"{own} holds no kernel of the universal network {universal.graph.name} with "
                f"fingerprint {universal.fingerprint[:16]}; expected a file that pipelines.export "
                "wrote of a task over that network, without sparsity or clusters."
            )
        limits[name] = max(MAX_DIFFERENCE[kind] for kind in found)
    return contents, limits


def save(path: str | os.PathLike, content: bytes, infos: Mapping[str, TaskInfo]) -> None:
    """Writes flatbuffers that were put together, with the description of every task, by name."""
    path = pathlib.Path(path)
    path.write_bytes(content)
    text = json.dumps({name: metadata.as_dict(info, content) for name, info in infos.items()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(TASKS_FILE), text)


def read_infos(path: str | os.PathLike) -> dict[str, TaskInfo]:
    """Reads the description of every task in a file, by name.

    Raises:
        ArtifactError: the file is no TFLite file of many tasks.
    """
    described = _described(path)
    return {name: metadata.from_dict(info, os.fspath(path)) for name, info in described.items()}


def _described(path: str | os.PathLike) -> Mapping[str, Any]:
    """The descriptions of the tasks in a file, JSON values by name."""
    try:
        tasks = parsed(single.read_member(path, TASKS_FILE))
        if not isinstance(tasks, Mapping):
            raise ValueError(f"{TASKS_FILE} is no JSON object")
    except archives.ERRORS as error:
        raise ArtifactError(
            f"{os.fspath(path)} holds no {TASKS_FILE}; expected a TFLite file of many tasks."
        ) from error
    return tasks


def load(path: str | os.PathLike, *, threads: int = 1) -> dict[str, Runtime]:
    """Loads a file of many tasks.

    Args:
        path: the file.
        threads: threads of LiteRT.

    Returns:
        A runtime per task, by name; they share one interpreter, so that one of them runs at a time.

    Raises:
        ArtifactError: the file is no TFLite file of many tasks, or LiteRT cannot run it.
    """
    infos, network = read_infos(path), single.network_of(path)
    for described in _described(path).values():
        metadata.check_network(described, network, os.fspath(path))
    interpreter = litert.interpreter(path, threads)
    with litert.explained(path):
        return {
            name: runtime.of_signature(path, interpreter.get_signature_runner(name), info)
            for name, info in infos.items()
        }


def _check(
    name: str, own: Runtime, shared: Runtime, limit: float, images: np.ndarray | None
) -> None:
    """Compares a task's answers in the file of all tasks with the answers of its own file.

    Raises:
        parity.ParityError: they differ.
    """
    side = own.info.preprocessing.resize
    compared = np.random.default_rng(0).integers(0, 256, (RANDOM_IMAGES, side, side, 3), np.uint8)
    if images is not None:
        compared = np.concatenate([compared, images])
    expected, received = (parity.in_batches(each.logits, compared) for each in (own, shared))
    difference = np.abs(received - expected).max() / max(1.0, np.abs(expected).max())
    if not difference <= limit:
        raise parity.ParityError(
            f"{name} answers otherwise in the file of all tasks than in its own: logits differ by "
            f"{difference:.1e}, expected {limit:.0e} at most."
        )
