"""One SavedModel for many tasks over one universal network, whose kernels it holds once.

A task has two signatures: `TASK` takes images as a tensor and `TASK_encoded` as image files;
both answer as the SavedModel of a task alone does (`single.classify`). Universal kernels are
variables that the networks of all tasks read. Nothing of a task is folded into them.
"""

import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export import metadata, shared_tasks
from export.metadata import METADATA_FILE, ArtifactError
from export.runtimes import Runtime
from export.saved_model import requests, single
from export.saved_model.requests import signatures
from export.shared_format import SharedFormat, SharedSubject
from tailor_tf.bundle import sharing
from tailor_tf.data.decoding import decode_batch, make_square
from tailor_tf.data.requests import checked
from tailor_tf.data.square import Square
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.task_pack import TailoredTask
from tailor_tf.records.workdir import Exports
from tailor_tf.support import files

MODEL = "tasks"  # the model's name at the server
_GREY = 128  # level of the images in warm-up requests


class SharedSavedModel(SharedFormat):
    """A SavedModel of many tasks, a version of a model for TensorFlow Serving.

    A running server loads a new version by itself, with its new tasks and without the removed ones.
    """

    name = "saved_model"
    is_served = True

    def folder(self, exports: Exports) -> pathlib.Path:
        return exports.serving / MODEL

    def write(self, folder: pathlib.Path, subject: SharedSubject) -> None:
        save(folder, subject.tasks)
        side = max(task.info.preprocessing.resize for task in subject.tasks.values())
        image = np.full((side, side, 3), _GREY, np.uint8)
        requests.write_warm_up(folder, MODEL, image, [signatures(name) for name in subject.tasks])

    def recognises(self, path: pathlib.Path) -> bool:
        return single.is_saved_model(path)

    def infos(self, version: pathlib.Path) -> Mapping[str, TaskInfo]:
        return read_infos(version)

    def load(self, path: pathlib.Path, threads: int) -> Mapping[str, Runtime]:
        del threads  # TensorFlow has one setting for the whole process, tf.config.threading
        loaded, tasks = load(path)
        return {
            name: single.runtime(single.signature_of(path, loaded, signatures(name)[0]), info)
            for name, info in tasks.items()
        }


def save(path: str | os.PathLike, tasks: Mapping[str, TailoredTask]) -> None:
    """Writes a SavedModel with the signatures of every task.

    The universal network is stored whole, so that it is the same whichever tasks there are. Class
    names and preprocessing of a task lie in the assets, as `TASK.labels.txt` and
    `TASK.metadata.json`.

    Args:
        path: the SavedModel's folder.
        tasks: tasks over one universal network, by name.

    Raises:
        ArtifactError: no task, tasks over different universal networks, a name that cannot be the
            name of a signature, or two tasks that would have the same one.
    """
    shared_tasks.check(tasks)
    _check_signatures(tasks)
    with tempfile.TemporaryDirectory() as folder:
        module, functions = _module(tasks, folder)
        tf.saved_model.save(module, os.fspath(path), signatures=functions)


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


def _module(
    tasks: Mapping[str, TailoredTask], folder: str
) -> tuple[tf.Module, dict[str, Callable[..., Any]]]:
    """A module of all tasks with its assets in a folder, and its functions by signature."""
    universal = shared_tasks.universal_of(tasks)
    rules = [task.info.preprocessing.square for task in tasks.values()]
    squares = {rule: _Squares(rule) for rule in dict.fromkeys(rules)}
    module, functions = tf.Module(), {}
    module.universal = _values(sharing.universal_kernels(universal).values())
    module.tasks, module.assets = [], []
    for name, task in tasks.items():
        network = sharing.shared_network(task.student, universal)
        info = shared_tasks.info(name, task)
        module.tasks.append(_values(network.weights))
        module.assets += single.assets(info, folder, f"{name}.")
        pair = squares[info.preprocessing.square].functions(
            lambda images, network=network, info=info: single.classify(network, info, images)
        )
        functions |= dict(zip(signatures(name), pair, strict=True))
    return module, functions


def _values(variables: Iterable[Any]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


class _Squares:
    """From images to squares by one rule, in one graph whatever the number of tasks.

    Args:
        rule: the rule that makes images square.
    """

    def __init__(self, rule: Square):
        self._side = rule.side
        self._resized = tf.function(lambda images: make_square(checked(images, rule), rule))
        self._decoded = tf.function(lambda encoded: decode_batch(checked(encoded, rule), rule))

    def functions(self, answers: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> tuple[Any, Any]:
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


def load(path: str | os.PathLike) -> tuple[Any, dict[str, TaskInfo]]:
    """Loads a SavedModel of many tasks; returns TensorFlow's object, and the tasks by name.

    Raises:
        ArtifactError: the folder is no such SavedModel.
    """
    infos = read_infos(path)
    return single.loaded(path), infos


def read_infos(path: str | os.PathLike) -> dict[str, TaskInfo]:
    """Reads the descriptions of the tasks in a SavedModel, without loading it, by name.

    Raises:
        ArtifactError: the folder is no SavedModel of many tasks.
    """
    assets = sorted((pathlib.Path(path) / "assets").glob(f"*.{METADATA_FILE}"))
    if not assets:
        raise ArtifactError(
            f"{os.fspath(path)} is no SavedModel of many tasks: it holds no TASK.{METADATA_FILE}; "
            "expected a SavedModel of many tasks."
        )
    found = [metadata.from_json(files.read_bytes(file), str(file)) for file in assets]
    return {info.name: info for info in found}
