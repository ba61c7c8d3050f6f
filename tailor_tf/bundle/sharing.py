"""Networks of several tasks over one universal network, with one copy of its kernels in memory.

Batch norms and gates of a task are not folded into universal kernels. They become a factor and an
offset per channel after each universal convolution. Proxies and classifier are folded as in the
export of a single task.
"""

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.method.student import Student
from tailor_tf.network import keys, weights


def universal_layers(universal: Universal) -> dict[str, keras.layers.Layer]:
    """The layers whose kernels all tasks share, by name."""
    return {
        layer.name: layer
        for layer in universal.model.layers
        if layer.weights
        and not isinstance(layer, keras.layers.BatchNormalization)
        and not any(keys.is_task(weight.path) for weight in layer.weights)
    }


def universal_kernels(universal: Universal) -> dict[str, keras.Variable]:
    """The weights that all tasks share, by key: for a convolution only the kernel, not the bias."""
    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    kept = {
        id(variable)
        for layer in universal_layers(universal).values()
        for variable in ([layer.kernel] if isinstance(layer, convolutions) else layer.weights)
    }
    return {k: v for k, v in weights.variables(universal.model).items() if id(v) in kept}


def shared_network(student: Student, universal: Universal) -> keras.Model:
    """The folded network of a task, with the kernels of `universal`, which are not copied.

    Args:
        student: the task's student.
        universal: its universal network, or another object with the same weights.

    Returns:
        A functional model from normalised images `[batch, height, width, 3]` to logits
        `[batch, classes]`.
    """
    own = student.own_keys
    shared = {
        name: layer
        for name, layer in universal_layers(universal).items()
        if own.isdisjoint(weight.path for weight in layer.weights)
    }
    folded = fold(compact(student), shared=shared)
    return keras.Model(folded.input, folded.output, name="net")  # short: all node names begin so
