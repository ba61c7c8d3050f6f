"""What artifacts of several tasks over one universal network have to be, and to compute."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from export import parity
from export.metadata import ArtifactError, Metadata
from tailor_tf.data.batches import evaluation_input
from tailor_tf.method.task_pack import Tailored

_IMAGES = 8  # that an artifact is compared on
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check(tasks: Mapping[str, Tailored]) -> None:
    """Refuses tasks that cannot share one artifact.

    Raises:
        ArtifactError: no task, a name that cannot be that of a signature and a file, or tasks over
            different universal networks.
    """
    if not tasks:
        raise ArtifactError("There is no task to export; expected one or more.")
    for name in tasks:
        if not _NAME.fullmatch(name):
            raise ArtifactError(
                f"The task name {name!r} is no name of a signature; expected letters, digits, "
                "'_', '.' and '-', a letter or digit first."
            )
    first, *others = tasks
    for name in others:
        expected, received = (tasks[n].universal.fingerprint for n in (first, name))
        if expected != received:
            raise ArtifactError(
                f"{name} belongs to the universal network {received[:16]} and {first} to "
                f"{expected[:16]}; expected tasks over one universal network."
            )


def metadata(name: str, tailored: Tailored) -> Metadata:
    """What an artifact says of a task, under the name that it has there."""
    return Metadata(name, tailored.classes, tailored.preprocessing)


def verify(
    artifact: str,
    logits: Callable[[str, np.ndarray], np.ndarray],
    tasks: Mapping[str, Tailored],
) -> None:
    """Compares an artifact with the networks of its tasks, over images of noise.

    Args:
        artifact: what it is called.
        logits: from a task and its uint8 images `[batch, resize, resize, 3]` to what the artifact
            answers, `[batch, classes]`.
        tasks: by name.

    Raises:
        parity.ParityError: names the first task whose logits are off.
    """
    rng = np.random.default_rng(0)
    for name, tailored in tasks.items():
        preprocessing = tailored.preprocessing
        side = preprocessing.resize
        images = rng.integers(0, 256, (_IMAGES, side, side, 3), np.uint8)
        answers = tailored.student(evaluation_input(images, preprocessing), training=False)
        expected = np.asarray(answers["logits"])
        found = parity.compare(expected, logits(name, images), expected.argmax(-1))
        parity.check(f"{artifact} {name}", "float32", found, max_accuracy_drop=0.0)
