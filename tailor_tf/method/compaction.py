"""From a student to a plain network that holds what survived and nothing else."""

import keras

from tailor_tf.method.student import gate_values
from tailor_tf.network import keys, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.factories import PlainLayers
from tailor_tf.network.graph import BlockGraph, classifier, follow
from tailor_tf.network.layers import full_precision


@full_precision()
def compact(student: keras.Model, graph: BlockGraph, architecture: Architecture) -> keras.Model:
    """Builds a plain functional model that computes what a student computes.

    Args:
        student: the student, unchanged.
        graph: the universal network's description.
        architecture: the student's paths.

    Returns:
        A model of stock Keras layers and operations from images `[batch, height, width, 3]` to
        logits `[batch, num_classes]`, gates as constant factors; a copy of the weights. It
        computes in their precision.
    """
    layers = PlainLayers()
    gates = gate_values(student, architecture)
    images = keras.Input(graph.input_shape, name="images")
    nodes = {0: graph.stem(images, layers)}
    for layer in architecture.layers:
        paths = [
            keras.layers.Rescaling(gates[path], name=f"{path.name}_gate")(
                follow(graph, path, nodes[path.source], layers)
            )
            for path in architecture.into(layer)
        ]
        total = keras.layers.Add(name=keys.path_sum(layer))(paths) if paths[1:] else paths[0]
        nodes[layer] = graph.activate(keys.node(layer))(total)
    features = graph.head(nodes[graph.num_blocks], layers)
    logits = classifier(student.output["logits"].shape[-1])(features)
    model = keras.Model(images, logits, name=f"compact_{graph.name}")
    weights.assign(model, weights.variables(student), origin="the student")
    return model
