"""Tasks over one universal network that share an artifact: conditions, and comparison."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from export import parity
from export.metadata import ArtifactError
from export.runtimes import Runtime
from tailor_tf.backbones.universal import Universal
from tailor_tf.data.batches import evaluation_input
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.task_pack import TailoredTask
from tailor_tf.support import names

_IMAGES = 8  # images of noise that an artifact is compared on


def check(tasks: Mapping[str, TailoredTask]) -> None:
    """Refuses tasks that cannot share one artifact.

    Args:
        tasks: the tasks, by their names in the artifact.

    Raises:
        ArtifactError: no task, or tasks over different universal networks.
        names.TaskNameError: a name that cannot be the name of a signature and a file.
    """
    if not tasks:
        raise ArtifactError("There is no task to export; expected one or more.")
    for name in tasks:
        names.checked(name)
    fingerprints = {name: task.student.universal.fingerprint for name, task in tasks.items()}
    (first, expected), *others = fingerprints.items()
    for name, received in others:
        if received != expected:
            raise ArtifactError(
                f"{name} belongs to the universal network {received[:16]} and {first} to "
                f"{expected[:16]}; expected tasks over one universal network."
            )


def universal_of(tasks: Mapping[str, TailoredTask]) -> Universal:
    """The universal network of tasks that `check` accepts."""
    return next(iter(tasks.values())).student.universal


def info(name: str, task: TailoredTask) -> TaskInfo:
    """Description of a task under the name that it has in an artifact."""
    return dataclasses.replace(task.info, name=name)


def verify(
    artifact: str, runtimes: Mapping[str, Runtime], tasks: Mapping[str, TailoredTask]
) -> None:
    """Compares an artifact with the networks of its tasks, over images of noise.

    Args:
        artifact: name of the artifact, for the error.
        runtimes: the artifact, loaded: a runtime per task, by name.
        tasks: the tasks, by the same names.

    Raises:
        parity.ParityError: names the first task whose logits are off.
    """
    rng = np.random.default_rng(0)
    for name, task in tasks.items():
        preprocessing = task.info.preprocessing
        side = preprocessing.resize
        images = rng.integers(0, 256, (_IMAGES, side, side, 3), np.uint8)
        answers = task.student.model(evaluation_input(images, preprocessing), training=False)
        expected = np.asarray(answers["logits"])
        received = runtimes[name].logits(images)
        found = parity.compare(expected, received, expected.argmax(-1))
        parity.check(f"{artifact} {name}", parity.FLOAT32, found)
