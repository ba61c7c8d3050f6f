"""Compaction: from a student to a plain network of its remaining paths."""

import keras

from tailor_tf.method.student import Student
from tailor_tf.network import keys, weights
from tailor_tf.network.factories import PlainLayers
from tailor_tf.network.graph import add_path, classifier
from tailor_tf.network.layers import full_precision


@full_precision()
def compact(student: Student) -> keras.Model:
    """Builds a plain functional model that computes the same logits as a student.

    Args:
        student: the student; not changed.

    Returns:
        A model of stock Keras layers and operations from images `[batch, height, width, 3]` to
        logits `[batch, num_classes]`. Its gates are constant factors. It has a copy of the weights
        and computes in their precision.
    """
    graph, architecture, layers = student.universal.graph, student.architecture, PlainLayers()
    gates = student.gate_values()
    images = keras.Input(graph.input_shape, name="images")
    nodes = {0: graph.stem(images, layers)}
    for layer in architecture.layers:
        paths = [
            keras.layers.Rescaling(gates[path], name=f"{path.name}_gate")(
                add_path(graph, path, nodes[path.source], layers)
            )
            for path in architecture.into(layer)
        ]
        total = keras.layers.Add(name=keys.path_sum(layer))(paths) if paths[1:] else paths[0]
        nodes[layer] = graph.activate(keys.node(layer))(total)
    depth, head_channels = architecture.depth, architecture.head_channels
    features = graph.read_out(nodes[depth], depth, layers, head_channels)
    logits = classifier(student.num_classes)(features)
    model = keras.Model(images, logits, name=f"compact_{graph.name}")
    weights.assign(model, weights.variables(student.model), origin="the student")
    return model
