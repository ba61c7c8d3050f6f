"""The networks of several tasks over one universal network, its kernels in memory once.

Nothing of a task is folded into a universal kernel: its batch norms and gates become a factor and
an offset per channel behind each of them. Proxies and classifier are folded as in an export alone.
"""

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.method.task_pack import Tailored
from tailor_tf.network import keys, weights


def universal_layers(universal: Universal) -> dict[str, keras.layers.Layer]:
    """The layers by name whose kernels all tasks share: the head belongs to each task."""
    return {
        layer.name: layer
        for layer in universal.model.layers
        if layer.weights
        and not isinstance(layer, keras.layers.BatchNormalization)
        and keys.is_shared_layer(layer.name)
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
