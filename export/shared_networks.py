"""The networks of several tasks over one universal network, its kernels in memory once.

Nothing of a task is folded into a universal kernel: its batch norms and gates become a factor and
an offset per channel behind each of them. Proxies and classifier are folded as in an export alone.
"""

import re
from collections.abc import Callable, Mapping

import keras
import numpy as np

from export import parity
from export.metadata import ArtifactError, Metadata
from tailor_tf.backbones import weights
from tailor_tf.backbones.universal import Universal
from tailor_tf.compaction import compact
from tailor_tf.data.batches import central_window
from tailor_tf.folding import fold
from tailor_tf.student import is_head_weight
from tailor_tf.task_pack import Tailored

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


def universal_layers(universal: Universal) -> dict[str, keras.layers.Layer]:
    """The layers by name whose kernels all tasks share: the head belongs to each task."""
    return {
        layer.name: layer
        for layer in universal.model.layers
        if layer.weights
        and not isinstance(layer, keras.layers.BatchNormalization)
        and not is_head_weight(f"{layer.name}/")
    }


def universal_kernels(universal: Universal) -> dict[str, keras.Variable]:
    """What all tasks share, by key; of a convolution the kernel, its bias becomes the tasks'."""
    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    kept = {
        id(variable)
        for layer in universal_layers(universal).values()
        for variable in ([layer.kernel] if isinstance(layer, convolutions) else layer.weights)
    }
    return {k: v for k, v in weights.variables(universal.model).items() if id(v) in kept}


def shared_network(tailored: Tailored, universal: Universal) -> keras.Model:
    """The network of a task, folded around the kernels of `universal`.

    Args:
        tailored: the task.
        universal: its universal network, or another object of the same weights.

    Returns:
        A functional model from normalised images `[batch, height, width, 3]` to logits
        `[batch, classes]`.
    """
    plain = compact(tailored.student, tailored.universal.graph, tailored.architecture)
    folded = fold(plain, shared=universal_layers(universal))
    return keras.Model(folded.input, folded.output, name="net")  # names of nodes begin with it


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
        window = central_window(images, preprocessing.image_size)
        answers = tailored.student(preprocessing.normalise(window), training=False)
        expected = np.asarray(answers["logits"])
        found = parity.compare(expected, logits(name, images), expected.argmax(-1))
        parity.check(f"{artifact} {name}", "float32", found, max_accuracy_drop=0.0)
