"""Folding: a network that computes the same function with fewer operations.

The operations of the network are visited once, in order. As long as they are linear (convolutions,
batch norms, gates and sums), their result is kept as a sum of linear terms. When a nonlinear
operation follows, such as a ReLU, the terms become convolutions. Batch norms and gates are then
part of kernels and biases, and convolutions of the same tensor in the same sum become one.

A gate over an identity shortcut has no kernel to be folded into. ReLUs, pools and paddings with
zeros are homogeneous: `f(s x) = s f(x)` for `s > 0`. The tensor of such a shortcut is therefore
divided by the gate, and the gate becomes a factor of the operations that follow, in the end of the
classifier.
"""

import collections
import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import tree

from tailor_tf.method.linear import (
    NO_PADDING,
    Convolution,
    Identity,
    Padding,
    Sum,
    merged,
    own_padding,
)
from tailor_tf.network.layers import Shared, SharedConv


def fold(
    model: keras.Model,
    *,
    apart: Collection[str] = (),
    shared: Mapping[str, keras.layers.Layer] | None = None,
) -> keras.Model:
    """Builds a network with the same outputs in inference and fewer operations.

    Args:
        model: functional, from images `[batch, height, width, 3]`, with stock Keras layers and
            batch norms of any kind, such as a model of `compaction.compact` or
            `graph.build_network`; not changed.
        apart: names of convolutions that are not merged with others. Their kernels are only
            multiplied by one factor per output channel, and they keep their names.
        shared: layers that replace layers of `model`, by the name of the replaced layer. Their
            kernels are shared, not copied, and nothing is folded into them: any number of networks
            can use the same ones. A factor and an offset after the convolution replace the folding.

    Returns:
        A functional model with the same input and outputs. It has convolutions with bias,
        additions, ReLUs, pools, a dense layer, paddings that cannot be part of a convolution, and
        operations that cannot be folded, such as other activations and products.
    """
    images = keras.Input(model.input.shape[1:], name="images")
    folding = _Folding(apart, shared or {})
    values = {id(model.input): Sum((Identity(images, 1.0),))}
    read = readers(model) + collections.Counter(map(id, tree.flatten(model.output)))
    for operation in model.operations:
        if isinstance(operation, kl.InputLayer):
            continue
        inputs = [values[id(tensor)] for tensor in tree.flatten(operation.input)]
        value = folding.apply(operation, call_arguments(operation), inputs)
        if read[id(operation.output)] > 1:  # computed once for all its readers
            value = _of_tensor(*folding.tensor_and_factor(value)) if _is_computed(value) else value
        values[id(operation.output)] = value
    outputs = tree.map_structure(lambda tensor: folding.exact(values[id(tensor)]), model.output)
    return keras.Model(images, outputs, name=f"folded_{model.name}")


def readers(model: keras.Model) -> collections.Counter[int]:
    """Number of times that operations of a functional model read each tensor, by its `id`."""
    return collections.Counter(
        id(tensor) for operation in model.operations for tensor in tree.flatten(operation.input)
    )


def call_arguments(operation: keras.Operation) -> Any:
    """The `args` and `kwargs` of the first call of an operation of a functional model.

    That call made its `input` and `output`. Keras adds further calls when it clones a part of a
    graph.
    """
    return operation._inbound_nodes[0].arguments  # Keras keeps them nowhere else


class _Folding:
    """Applies operations to sums, and computes tensors from sums when operations need them."""

    def __init__(self, apart: Collection[str], shared: Mapping[str, keras.layers.Layer]):
        self._apart = apart
        self._shared = shared
        self._made: dict[Any, Any] = {}  # results of layers without weights, computed only once

    def apply(self, operation: keras.Operation, arguments: Any, inputs: list[Sum]) -> Sum:
        """The result of an operation on `inputs`, called with `arguments` before."""
        match operation:
            case kl.Add():
                terms = tuple(term for value in inputs for term in value.terms)
                return Sum(terms, sum(value.bias for value in inputs))
            case kl.BatchNormalization():
                return self._affine(inputs[0], *_batch_norm(operation))
            case kl.Rescaling() if np.ndim(operation.scale) == np.ndim(operation.offset) == 0:
                factor = np.full(operation.output.shape[-1], np.float64(operation.scale))
                return self._affine(inputs[0], factor, operation.offset)
            case kl.Conv2D() | kl.DepthwiseConv2D():
                return self._convolved(operation, inputs[0])
            case kl.Dense() if operation.name not in self._shared:
                tensor, scale = self.tensor_and_factor(inputs[0])
                return _of_tensor(_copied(operation, scale)(tensor))
            case kl.ZeroPadding2D():
                tensor, scale = self.tensor_and_factor(inputs[0])
                return Sum((Identity(tensor, scale, operation.padding),))
            case kl.Activation() if operation.activation is keras.activations.linear:
                return inputs[0]
        scale = 1.0
        if _is_homogeneous(operation, arguments):
            tensor, scale = self.tensor_and_factor(inputs[0])
            made = iter([tensor])
        else:
            made = iter([self.exact(value) for value in inputs])
        args, kwargs = tree.map_structure(
            lambda old: next(made) if isinstance(old, keras.KerasTensor) else old,
            (arguments.args, arguments.kwargs),
        )
        source = self._shared.get(operation.name)
        own = _copied(operation) if source is None else Shared(source)
        return _of_tensor(self._call(own, *args, **kwargs), scale)

    def _affine(self, value: Sum, factor: np.ndarray, offset: np.ndarray | float) -> Sum:
        """`factor * value + offset`, one factor and offset per channel."""
        terms = tuple(term.times(factor) for term in value.terms)
        if None not in terms:
            return Sum(terms, value.bias * factor + offset)
        tensor, scale = self.tensor_and_factor(value)
        kernel = (factor * scale).reshape(1, 1, -1, 1)
        return Sum((Convolution(tensor, NO_PADDING, None, kernel),), offset)

    def _convolved(self, layer: kl.Layer, value: Sum) -> Sum:
        (term, *others), padding = value.terms, NO_PADDING
        alone = isinstance(term, Identity) and not others and not np.any(value.bias)
        if alone and layer.padding == "valid":
            tensor, scale, padding = term.tensor, term.scale, term.padding
        else:
            tensor, scale = self.tensor_and_factor(value)
        bias = np.float64(layer.bias) if layer.use_bias else 0.0
        apart = layer.name in self._apart
        convolution = Convolution(tensor, padding, layer, np.float64(layer.kernel), apart)
        if layer.name in self._shared:
            convolution = dataclasses.replace(convolution, factor=np.ones(convolution.channels))
        convolved = Sum((convolution.times(np.full(convolution.channels, scale)),), bias)
        if layer.activation is keras.activations.linear:
            return convolved
        return _of_tensor(kl.Activation(layer.activation)(self.exact(convolved)))

    def exact(self, value: Sum) -> Any:
        """The tensor of a sum."""
        tensor, scale = self.tensor_and_factor(value)
        return tensor if scale == 1.0 else kl.Rescaling(scale)(tensor)

    def tensor_and_factor(self, value: Sum) -> tuple[Any, float]:
        """A tensor and a factor whose product is the sum."""
        terms, bias = merged(value.terms), value.bias
        scale = next((term.scale for term in terms if isinstance(term, Identity)), 1.0)
        tensors = []
        for term in terms:
            if isinstance(term, Convolution):
                tensors.append(self._convolution(term, scale, bias))
                bias = 0.0  # added by the first convolution
            else:
                tensor = self._padded(term.tensor, term.padding)
                same = term.scale == scale
                tensors.append(tensor if same else kl.Rescaling(term.scale / scale)(tensor))
        total = tensors[0]
        for tensor in tensors[1:]:
            total = kl.Add()([total, tensor])
        if np.any(bias):  # there was no convolution to add it
            total = kl.Rescaling(1.0, offset=np.asarray(bias / scale).tolist())(total)
        return total, scale

    def _convolution(self, term: Convolution, scale: float, bias: np.ndarray | float) -> Any:
        """The tensor of a convolution and a bias, both divided by `scale`."""
        padding, mode = own_padding(term)
        x = self._padded(term.tensor, padding)
        channels = term.channels
        if term.factor is not None:
            affine = np.stack([term.factor, np.broadcast_to(bias, channels)]) / scale
            return SharedConv(self._shared[term.layer.name], mode, affine)(x)
        size, use_bias = term.kernel.shape[:2], bool(np.any(bias))
        settings = {
            "strides": term.strides,
            "dilation_rate": term.dilation,
            "padding": mode,
            "use_bias": use_bias,
            "name": term.layer.name if term.apart else None,
        }
        kernel = term.kernel / scale
        if not term.depthwise and term.layer.groups == channels == x.shape[-1]:
            # A depthwise convolution by another name; Keras compiles grouped ones by XLA, which
            # has no counterpart in ONNX.
            layer, kernel = kl.DepthwiseConv2D(size, **settings), kernel.transpose(0, 1, 3, 2)
        elif term.depthwise:
            layer = kl.DepthwiseConv2D(size, depth_multiplier=term.kernel.shape[-1], **settings)
        else:
            layer = kl.Conv2D(channels, size, groups=term.layer.groups, **settings)
        layer.build(x.shape)
        biases = [np.broadcast_to(bias / scale, channels)] if use_bias else []
        layer.set_weights([kernel, *biases])
        return layer(x)

    def _padded(self, tensor: Any, padding: Padding) -> Any:
        if padding == NO_PADDING:
            return tensor
        return self._call(kl.ZeroPadding2D(padding), tensor)

    def _call(self, operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        """Calls an operation, or returns the result of an equal one for the same tensors."""
        if getattr(operation, "weights", ()) or not isinstance(operation, keras.Layer):
            return operation(*args, **kwargs)
        config = {k: v for k, v in operation.get_config().items() if k != "name"}
        key = (type(operation), repr(config), repr(tree.map_structure(id, (args, kwargs))))
        if key not in self._made:
            self._made[key] = operation(*args, **kwargs)
        return self._made[key]


def _is_computed(value: Sum) -> bool:
    return len(value.terms) > 1 or isinstance(value.terms[0], Convolution)


def _of_tensor(tensor: Any, scale: float = 1.0) -> Sum:
    return Sum((Identity(tensor, scale),))


def _is_homogeneous(operation: keras.Operation, arguments: Any) -> bool:
    """Whether `f(s x) = s f(x)` for every `s > 0`, with one tensor as input."""
    match operation:
        case kl.ReLU():
            return operation.max_value is None and not operation.threshold
        case kl.Activation():
            return operation.activation is keras.activations.relu
        case kl.MaxPooling2D() | kl.AveragePooling2D() | kl.GlobalAveragePooling2D():
            return True
    if type(operation).__name__ == "Pad":
        return arguments.kwargs.get("constant_values") in (None, 0)
    return type(operation).__name__ == "GetItem"


def _batch_norm(layer: kl.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset per channel of a batch norm in inference, float64."""
    mean, variance = (np.float64(v) for v in (layer.moving_mean, layer.moving_variance))
    factor = 1 / np.sqrt(variance + layer.epsilon)
    factor = factor * np.float64(layer.gamma) if layer.scale else factor
    return factor, (np.float64(layer.beta) if layer.center else 0.0) - mean * factor


def _copied(operation: keras.Operation, scale: float = 1.0) -> keras.Operation:
    """A copy with its weights, kernels multiplied by `scale`."""
    copy = type(operation).from_config(operation.get_config())
    if getattr(operation, "weights", ()):
        copy.build(operation.input.shape)
        for new, old in zip(copy.weights, operation.weights, strict=True):
            new.assign(old * scale if old.name == "kernel" else old)
    return copy
