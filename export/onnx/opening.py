"""Conversion of a network to ONNX that leaves its universal kernels as they are, outside of it.

A converter folds batch norms into kernels that it knows. Here kernels are inputs of the network
that is converted, so that nothing can be folded into them, and afterwards become constants again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from export.onnx import single
from tailor_tf.backbones.universal import Universal
from tailor_tf.bundle import sharing
from tailor_tf.method.folding import fold


def convert(network: keras.Model, universal: Universal) -> tuple[Any, dict[str, np.ndarray]]:
    """Converts a network without its universal kernels.

    Args:
        network: of `sharing.shared_network`, from normalised images to logits.
        universal: its universal network.

    Returns:
        An `onnx.ModelProto` that reads each universal kernel by its key, and these kernels by key,
        float32, laid out as the model reads them.
    """
    kernels = _kernels_in(network, universal)
    specs = [
        tf.TensorSpec(variable.shape, tf.float32, name=f"kernel{index}")
        for index, variable in enumerate(kernels.values())
    ]
    model = single.convert_signature(
        _OpenNetwork(network, kernels.values()), [[single.images_signature(network), *specs]]
    )
    inputs = {
        spec.name: (key, np.asarray(variable))
        for spec, (key, variable) in zip(specs, kernels.items(), strict=True)
    }
    return model, _taken_out(model.graph, inputs)


def universal_kernels(universal: Universal) -> dict[str, np.ndarray]:
    """All kernels of a universal network by key, float32, laid out as ONNX has them."""
    model = universal.model
    logits = keras.Model(model.input, model.output["logits"], name="net")
    return convert(fold(logits, shared=sharing.universal_layers(universal)), universal)[1]


def _kernels_in(network: keras.Model, universal: Universal) -> dict[str, keras.Variable]:
    """The universal kernels that a network uses, by key."""
    own = {id(variable) for variable in network.weights}
    kernels = sharing.universal_kernels(universal)
    return {key: variable for key, variable in kernels.items() if id(variable) in own}


class _OpenNetwork(keras.Model):
    """A network as a function of images and the values of some of its variables."""

    def __init__(self, network: keras.Model, variables: Iterable[keras.Variable]):
        super().__init__(name="net")
        self._network, self._open = network, list(variables)
        self.built = True

    def call(self, inputs):
        images, *values = inputs
        with keras.StatelessScope(zip(self._open, values, strict=True)):
            return self._network(images, training=False)


def _taken_out(graph: Any, inputs: Mapping[str, tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Takes kernels out of the inputs of a graph, and the nodes that do nothing but lay them out.

    Args:
        graph: an `onnx.GraphProto`, changed in place; nodes that read a kernel read it by its key.
        inputs: key and value of each kernel by the name of its input.

    Returns:
        Kernels by key, laid out as the graph reads them.
    """
    taken = _by_key(graph, inputs)
    for tensor in [value for value in graph.input if value.name in inputs]:
        graph.input.remove(tensor)
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    return taken


def _by_key(graph: Any, inputs: Mapping[str, tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Makes nodes read kernels by key, laid out already; returns the kernels by key."""
    from onnx import numpy_helper, reference

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values, taken = dict(inputs), {}
    for node in list(graph.node):
        keys = {values[name][0] for name in node.input if name in values}
        if keys and all(name in values or name in constants for name in node.input):
            feeds = {n: values[n][1] if n in values else constants[n] for n in node.input}
            (laid_out,) = reference.ReferenceEvaluator(node).run(None, feeds)
            values[node.output[0]] = (*keys, laid_out)
            graph.node.remove(node)
            continue
        taken |= {values[name][0]: values[name][1] for name in node.input if name in values}
        node.input[:] = [values[n][0] if n in values else n for n in node.input]
    return taken
