"""What is stored per task: everything but the universal weights, in one safetensors file."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tailor_tf.backbones.universal import Universal
from tailor_tf.data import Preprocessing
from tailor_tf.method.student import build_student, task_weights
from tailor_tf.network import keys, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.support.errors import TailorError

FORMAT_VERSION = 2
CHECKSUM = "checksum"  # packs of earlier programs have none


class TaskPackError(TailorError):
    """A task pack that cannot be read, was altered, or is for another universal network."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tailored:
    """A task over a universal network, ready to predict.

    Attributes:
        name: the task's name.
        classes: class names, in the order of the logits.
        preprocessing: what images go through before the network.
        architecture: the paths of the student.
        student: functional model from images to `"logits"` and `"nodes"`; its universal kernels
            are those of the universal network, shared in memory.
        universal: that network.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    architecture: Architecture
    student: keras.Model
    universal: Universal


def save_task_pack(path: str | os.PathLike, tailored: Tailored) -> None:
    """Writes gates, proxies, statistics, classifier and what is needed to use them."""
    metadata = {
        "task_pack": FORMAT_VERSION,
        "name": tailored.name,
        "classes": list(tailored.classes),
        "preprocessing": json.loads(tailored.preprocessing.to_json()),
        "architecture": tailored.architecture.as_dict(),
        "universal": {
            "backbone": dict(tailored.universal.graph.config),
            "fingerprint": tailored.universal.fingerprint,
        },
    }
    tensors = {key: v.numpy() for key, v in task_weights(tailored.student).items()}
    weights.write(path, tensors, {**metadata, CHECKSUM: _checksum(tensors, metadata)})


def load_task_pack(path: str | os.PathLike, universal: Universal) -> Tailored:
    """Reads a task pack onto the universal network that it was made for.

    Raises:
        TaskPackError: the file is no task pack of this version, was altered since it was written,
            or belongs to another universal network.
        weights.WeightsError: the file cannot be read, or a tensor is missing.
    """
    tensors, metadata = weights.read(path)
    if metadata.get("task_pack") != FORMAT_VERSION:
        raise TaskPackError(
            f"{os.fspath(path)} is no task pack of version {FORMAT_VERSION}; expected a file that "
            "pipelines.tailor wrote."
        )
    received = metadata.pop(CHECKSUM, None)
    if received not in (None, _checksum(tensors, metadata)):
        raise TaskPackError(
            f"{os.fspath(path)} was altered: it is not what its checksum {received[:16]} was made "
            "of. Take the file that pipelines.tailor wrote, or let its run write it again."
        )
    _check_universal(path, metadata["universal"], universal)
    architecture = Architecture.from_dict(metadata["architecture"])
    student = build_student(universal, architecture, len(metadata["classes"]))
    weights.assign(student, tensors, origin=os.fspath(path), wanted=keys.is_task)
    return Tailored(
        name=metadata["name"],
        classes=tuple(metadata["classes"]),
        preprocessing=Preprocessing.from_json(json.dumps(metadata["preprocessing"])),
        architecture=architecture,
        student=student,
        universal=universal,
    )


def _checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> str:
    """Of all that a pack says, whatever the order of its keys."""
    text = json.dumps(metadata, sort_keys=True)
    return hashlib.sha256(f"{weights.checksum(tensors)}{text}".encode()).hexdigest()


def _check_universal(path: Any, expected: dict[str, Any], universal: Universal) -> None:
    config = dict(universal.graph.config)
    # The same weights can make a network for another size of images, or of other blocks.
    if expected != {"backbone": config, "fingerprint": universal.fingerprint}:
        raise TaskPackError(
            f"{os.fspath(path)} belongs to the universal network {expected['backbone']} with "
            f"fingerprint {expected['fingerprint'][:16]}; received {config} with fingerprint "
            f"{universal.fingerprint[:16]}. Load it with the network that it was trained on."
        )
