"""One SavedModel for many tasks over one universal network, whose kernels it holds once.

A task has two signatures: `TASK` takes images as a tensor and `TASK_encoded` as JPEG or PNG files;
both answer as the SavedModel of a task alone does (`saved_model.classify`). Universal kernels are
variables that the networks of all tasks read. Nothing of a task is folded into them.
"""

import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export import shared_tasks
from export.encoded import decode_batch
from export.metadata import METADATA_FILE, ArtifactError, Metadata
from export.runtimes import Runtime, of_saved_model
from export.saved_model import single as saved_model
from export.serving import configuration as serving
from tailor_tf.bundle import sharing
from tailor_tf.data.images import resize_and_crop
from tailor_tf.method.task_pack import Tailored
from tailor_tf.support.versions import Versions

MODEL = "tasks"
_GREY = 128  # level of the images in warm-up requests


def signatures(task: str) -> tuple[str, str]:
    """The signatures of a task: for tensors and for encoded images."""
    return task, f"{task}_encoded"


def save(path: str | os.PathLike, tasks: Mapping[str, Tailored]) -> None:
    """Writes a SavedModel with the signatures of every task.

    The universal network is stored whole, so that it is the same whichever tasks there are. Class
    names and preprocessing of a task lie in the assets, as `TASK.labels.txt` and
    `TASK.metadata.json`.

    Args:
        path: the SavedModel's folder.
        tasks: by name, over one universal network.

    Raises:
        ArtifactError: no task, tasks over different universal networks, a name that cannot be that
            of a signature, or two tasks that would have the same one.
    """
    shared_tasks.check(tasks)
    _check_signatures(tasks)
    universal = next(iter(tasks.values())).universal
    images = {t.preprocessing.resize: _Images(t.preprocessing.resize) for t in tasks.values()}
    server, functions = tf.Module(), {}
    server.universal = _values(sharing.universal_kernels(universal).values())
    server.tasks, server.assets = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, tailored in tasks.items():
            network = sharing.shared_network(tailored, universal)
            metadata = shared_tasks.metadata(name, tailored)
            server.tasks.append(_values(network.weights))
            server.assets += saved_model.assets(metadata, folder, f"{name}.")
            pair = images[metadata.preprocessing.resize].signatures(
                lambda x, network=network, metadata=metadata: saved_model.classify(
                    network, metadata, x
                )
            )
            functions |= dict(zip(signatures(name), pair, strict=True))
        tf.saved_model.save(server, os.fspath(path), signatures=functions)


def _check_signatures(tasks: Iterable[str]) -> None:
    taken: dict[str, str] = {}
    for task in tasks:
        for signature in signatures(task):
            other = taken.setdefault(signature, task)
            if other != task:
                raise ArtifactError(
                    f"The tasks {other} and {task} would both have the signature {signature}; give "
                    "one of them another name."
                )


def _values(variables: Iterable[Any]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


class _Images:
    """How images become squares of one side; one graph, whatever the number of tasks.

    Args:
        side: pixels.
    """

    def __init__(self, side: int):
        self._side = side
        self._resized = tf.function(lambda images: resize_and_crop(images, side))
        self._decoded = tf.function(lambda encoded: decode_batch(encoded, side))

    def signatures(self, answers: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> tuple[Any, Any]:
        """The functions of a task for tensors and encoded images; `answers` reads squares."""
        squares = tf.TensorSpec([None, self._side, self._side, 3], tf.uint8)
        answers = tf.function(answers, input_signature=[squares])  # both call the same graph

        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")]
        )
        def of_tensors(images):
            return answers(self._resized(images))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
        def of_encoded(encoded):
            return answers(self._decoded(encoded))

        return of_tensors, of_encoded


def load(path: str | os.PathLike) -> tuple[Any, dict[str, Metadata]]:
    """Loads a SavedModel of many tasks, and the metadata of each by its name.

    Raises:
        ArtifactError: the folder is no such SavedModel.
    """
    found = [
        Metadata.from_json(file.read_text(encoding="utf-8"))
        for file in sorted((pathlib.Path(path) / "assets").glob(f"*.{METADATA_FILE}"))
    ]
    try:
        loaded = tf.saved_model.load(os.fspath(path))
    except OSError as error:
        raise ArtifactError(f"{os.fspath(path)} is no SavedModel: {error}.") from error
    if not found:
        raise ArtifactError(
            f"{os.fspath(path)} holds no TASK.{METADATA_FILE}; expected a SavedModel of many tasks."
        )
    return loaded, {metadata.name: metadata for metadata in found}


def load_runtimes(path: str | os.PathLike) -> dict[str, Runtime]:
    """Loads a SavedModel of many tasks; a runtime per task.

    Raises:
        ArtifactError: the folder is no such SavedModel.
    """
    loaded, tasks = load(path)
    return {
        name: of_saved_model(loaded.signatures[signatures(name)[0]], metadata)
        for name, metadata in tasks.items()
    }


def publish(
    folder: str | os.PathLike,
    tasks: Mapping[str, Tailored],
    *,
    model: str = MODEL,
    keep_versions: int = 3,
) -> pathlib.Path:
    """Writes a SavedModel of many tasks as a new version for TensorFlow Serving.

    A server that runs on `folder` takes the version up by itself, with the tasks that came and
    without those that went. It is loaded again and compared with the tasks' own networks first.

    Args:
        folder: what the server sees as `/models`; its configurations are written beside.
        tasks: by name, over one universal network.
        model: the model's name.
        keep_versions: how many versions are kept.

    Returns:
        The new version's folder.

    Raises:
        ArtifactError: as `save`; nothing is published.
        parity.ParityError: a task does not answer as its own network does; nothing is published.
    """

    def write(building: pathlib.Path) -> None:
        save(building, tasks)
        found = load_runtimes(building)
        shared_tasks.verify("saved_model", lambda task, x: found[task].logits(x), tasks)
        side = max(tailored.preprocessing.resize for tailored in tasks.values())
        serving.write_warm_up(
            building,
            model,
            np.full((side, side, 3), _GREY, np.uint8),
            [signatures(task) for task in tasks],
        )

    published = Versions(pathlib.Path(folder) / model).publish(write, keep_versions)
    serving.write_configurations(folder)
    return published
