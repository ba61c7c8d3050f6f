"""Folding: the same function from fewer operations.

A network is walked once. What its convolutions, batch norms, gates and sums add up to is
kept as a linear combination for as long as everything stays linear; convolutions are made when
something else, such as a ReLU, has to be applied. Batch norms and gates then are part of kernels
and biases, and convolutions that read the same tensor into the same sum are one.

A gate over an identity shortcut has no kernel to go into. ReLUs, pools and paddings with zeros are
homogeneous, `f(s x) = s f(x)` for `s > 0`, so that such a tensor is kept divided by its factor, the
factor goes on to what follows, and in the end into the classifier.
"""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import tree

from tailor_tf.network.layers import Shared, SharedConv

Padding = tuple[tuple[int, int], tuple[int, int]]  # before and after, of rows and of columns
_NONE: Padding = ((0, 0), (0, 0))


def fold(
    model: keras.Model,
    *,
    apart: Collection[str] = (),
    shared: Mapping[str, keras.layers.Layer] | None = None,
) -> keras.Model:
    """Builds a network that computes in inference what another one does, from fewer operations.

    Args:
        model: functional, from images `[batch, height, width, 3]`; of stock Keras layers and batch
            norms of any kind, as `compaction.compact` and `graph.build_network` make it; not
            changed.
        apart: names of convolutions that no other one is added to, so that their kernels stay what
            they are times one factor per output channel; they keep their names.
        shared: layers by the name of the layer of `model` in whose place they stand. Their kernels
            are used in place and nothing is folded into them, so that any number of networks holds
            one copy; what would have been is a factor and an offset behind the convolution.

    Returns:
        A functional model of the same input and outputs: convolutions with bias, additions, ReLUs,
        pools, paddings that no convolution has of its own, a dense layer, and what cannot be
        folded, such as the activations and products of other families of networks.
    """
    images = keras.Input(model.input.shape[1:], name="images")
    folding = _Folding(apart, shared or {})
    values = {id(model.input): _Sum((_Identity(images, 1.0),))}
    read = readers(model) + collections.Counter(map(id, tree.flatten(model.output)))
    for operation in model.operations:
        if isinstance(operation, kl.InputLayer):
            continue
        inputs = [values[id(tensor)] for tensor in tree.flatten(operation.input)]
        value = folding.apply(operation, call_arguments(operation), inputs)
        if read[id(operation.output)] > 1:  # made once, whatever is done with it
            value = _as_it_is(*folding.divided(value)) if _is_computed(value) else value
        values[id(operation.output)] = value
    outputs = tree.map_structure(lambda tensor: folding.exact(values[id(tensor)]), model.output)
    return keras.Model(images, outputs, name=f"folded_{model.name}")


def readers(model: keras.Model) -> collections.Counter[int]:
    """How often each tensor of a functional model is read by its operations, by `id`."""
    return collections.Counter(
        id(tensor) for operation in model.operations for tensor in tree.flatten(operation.input)
    )


def call_arguments(operation: keras.Operation) -> Any:
    """The `args` and `kwargs` that an operation of a functional model was first called with.

    Those of its `input` and `output`: Keras notes further calls where it clones a part of a graph.
    """
    return operation._inbound_nodes[0].arguments  # Keras keeps them nowhere else


@dataclasses.dataclass(frozen=True, eq=False)
class _Identity:
    """`scale * tensor`, padded with zeros."""

    tensor: Any
    scale: float
    padding: Padding = _NONE

    def times(self, factor: np.ndarray) -> "_Identity | None":
        """The term times one factor per channel; `None` where that is none of its kind."""
        if np.ptp(factor) > 0 or factor.flat[0] <= 0:
            return None
        return dataclasses.replace(self, scale=self.scale * float(factor.flat[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class _Convolution:
    """A convolution of a tensor, without its bias.

    Attributes:
        tensor: its input, before `padding`.
        padding: zeros around the input.
        layer: the layer that it comes from, for its settings; `None` for a 1x1 depthwise one.
        kernel: `[height, width, in, out]`, of a depthwise one `[height, width, in, multiplier]`.
        apart: whether it stays a convolution of its own, under its layer's name.
        factor: one per output channel, where the kernel is shared and stays as it is.
    """

    tensor: Any
    padding: Padding
    layer: kl.Layer | None
    kernel: np.ndarray
    apart: bool = False
    factor: np.ndarray | None = None

    @property
    def channels(self) -> int:
        return self.kernel.shape[-1] * (self.kernel.shape[-2] if self.depthwise else 1)

    @property
    def depthwise(self) -> bool:
        return self.layer is None or isinstance(self.layer, kl.DepthwiseConv2D)

    @property
    def strides(self) -> tuple[int, int]:
        return self.layer.strides if self.layer else (1, 1)

    @property
    def dilation(self) -> tuple[int, int]:
        return self.layer.dilation_rate if self.layer else (1, 1)

    @property
    def mergeable(self) -> bool:
        """Whether its kernel can be added to that of another convolution of the same tensor."""
        plain = not self.depthwise and self.layer.groups == 1 and self.dilation == (1, 1)
        alone = self.apart or self.factor is not None
        return plain and self.layer.padding == "valid" and not alone

    def times(self, factor: np.ndarray) -> "_Convolution":
        """The term times one factor per output channel."""
        if self.factor is not None:
            return dataclasses.replace(self, factor=self.factor * factor)
        shape = self.kernel.shape[2:] if self.depthwise else (-1,)
        return dataclasses.replace(self, kernel=self.kernel * factor.reshape(shape))


_Term = _Identity | _Convolution


@dataclasses.dataclass(frozen=True, eq=False)
class _Sum:
    """A sum of terms and a bias per channel: a tensor of the network that is not made yet."""

    terms: tuple[_Term, ...]
    bias: np.ndarray | float = 0.0


class _Folding:
    """Applies operations to sums, and makes tensors of them where that is due."""

    def __init__(self, apart: Collection[str], shared: Mapping[str, keras.layers.Layer]):
        self._apart = apart
        self._shared = shared
        self._made: dict[Any, Any] = {}  # results of layers without weights, to have each once

    def apply(self, operation: keras.Operation, arguments: Any, inputs: list[_Sum]) -> _Sum:
        """What becomes of an operation on `inputs` that was called with `arguments`."""
        match operation:
            case kl.Add():
                terms = tuple(term for value in inputs for term in value.terms)
                return _Sum(terms, sum(value.bias for value in inputs))
            case kl.BatchNormalization():
                return self._affine(inputs[0], *_batch_norm(operation))
            case kl.Rescaling() if np.ndim(operation.scale) == np.ndim(operation.offset) == 0:
                factor = np.full(operation.output.shape[-1], np.float64(operation.scale))
                return self._affine(inputs[0], factor, operation.offset)
            case kl.Conv2D() | kl.DepthwiseConv2D():
                return self._convolved(operation, inputs[0])
            case kl.Dense() if operation.name not in self._shared:
                tensor, scale = self.divided(inputs[0])
                return _as_it_is(_copied(operation, scale)(tensor))
            case kl.ZeroPadding2D():
                tensor, scale = self.divided(inputs[0])
                return _Sum((_Identity(tensor, scale, operation.padding),))
            case kl.Activation() if operation.activation is keras.activations.linear:
                return inputs[0]
        scale = 1.0
        if _is_homogeneous(operation, arguments):
            tensor, scale = self.divided(inputs[0])
            made = iter([tensor])
        else:
            made = iter([self.exact(value) for value in inputs])
        args, kwargs = tree.map_structure(
            lambda old: next(made) if isinstance(old, keras.KerasTensor) else old,
            (arguments.args, arguments.kwargs),
        )
        source = self._shared.get(operation.name)
        own = _copied(operation) if source is None else Shared(source)
        return _as_it_is(self._call(own, *args, **kwargs), scale)

    def _affine(self, value: _Sum, factor: np.ndarray, offset: np.ndarray | float) -> _Sum:
        """`factor * value + offset`, one factor and offset per channel."""
        terms = tuple(term.times(factor) for term in value.terms)
        if None not in terms:
            return _Sum(terms, value.bias * factor + offset)
        tensor, scale = self.divided(value)
        kernel = (factor * scale).reshape(1, 1, -1, 1)
        return _Sum((_Convolution(tensor, _NONE, None, kernel),), offset)

    def _convolved(self, layer: kl.Layer, value: _Sum) -> _Sum:
        (term, *others), padding = value.terms, _NONE
        alone = isinstance(term, _Identity) and not others and not np.any(value.bias)
        if alone and layer.padding == "valid":
            tensor, scale, padding = term.tensor, term.scale, term.padding
        else:
            tensor, scale = self.divided(value)
        bias = np.float64(layer.bias) if layer.use_bias else 0.0
        apart = layer.name in self._apart
        convolution = _Convolution(tensor, padding, layer, np.float64(layer.kernel), apart)
        if layer.name in self._shared:
            convolution = dataclasses.replace(convolution, factor=np.ones(convolution.channels))
        convolved = _Sum((convolution.times(np.full(convolution.channels, scale)),), bias)
        if layer.activation is keras.activations.linear:
            return convolved
        return _as_it_is(kl.Activation(layer.activation)(self.exact(convolved)))

    def exact(self, value: _Sum) -> Any:
        """The tensor of a sum."""
        tensor, scale = self.divided(value)
        return tensor if scale == 1.0 else kl.Rescaling(scale)(tensor)

    def divided(self, value: _Sum) -> tuple[Any, float]:
        """A tensor, and the factor by which it has to be multiplied to be the sum."""
        terms, bias = _merged(value.terms), value.bias
        scale = next((term.scale for term in terms if isinstance(term, _Identity)), 1.0)
        tensors = []
        for term in terms:
            if isinstance(term, _Convolution):
                tensors.append(self._convolution(term, scale, bias))
                bias = 0.0  # the first one has it
            else:
                tensor = self._padded(term.tensor, term.padding)
                same = term.scale == scale
                tensors.append(tensor if same else kl.Rescaling(term.scale / scale)(tensor))
        total = tensors[0]
        for tensor in tensors[1:]:
            total = kl.Add()([total, tensor])
        if np.any(bias):  # there was no convolution to take it
            total = kl.Rescaling(1.0, offset=np.asarray(bias / scale).tolist())(total)
        return total, scale

    def _convolution(self, term: _Convolution, scale: float, bias: np.ndarray | float) -> Any:
        """The tensor of a convolution and a bias, both divided by `scale`."""
        padding, mode = _own_padding(term)
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
        if term.depthwise:
            layer = kl.DepthwiseConv2D(size, depth_multiplier=term.kernel.shape[-1], **settings)
        else:
            layer = kl.Conv2D(channels, size, groups=term.layer.groups, **settings)
        layer.build(x.shape)
        biases = [np.broadcast_to(bias / scale, channels)] if use_bias else []
        layer.set_weights([term.kernel / scale, *biases])
        return layer(x)

    def _padded(self, tensor: Any, padding: Padding) -> Any:
        if padding == _NONE:
            return tensor
        return self._call(kl.ZeroPadding2D(padding), tensor)

    def _call(self, operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        """Calls an operation, or returns what the same one gave for the same tensors."""
        if getattr(operation, "weights", ()) or not isinstance(operation, keras.Layer):
            return operation(*args, **kwargs)
        config = {k: v for k, v in operation.get_config().items() if k != "name"}
        key = (type(operation), repr(config), repr(tree.map_structure(id, (args, kwargs))))
        if key not in self._made:
            self._made[key] = operation(*args, **kwargs)
        return self._made[key]


def _is_computed(value: _Sum) -> bool:
    return len(value.terms) > 1 or isinstance(value.terms[0], _Convolution)


def _as_it_is(tensor: Any, scale: float = 1.0) -> _Sum:
    return _Sum((_Identity(tensor, scale),))


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
        return arguments.kwargs.get("constant_values") in (None, 0, float("-inf"))
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


def _merged(terms: Sequence[_Term]) -> list[_Term]:
    """The terms, those that one convolution can compute made one."""
    merged: list[_Term] = []
    # Large kernels first, so that smaller ones and identities go into them.
    for term in sorted(terms, key=lambda t: -t.kernel.size if isinstance(t, _Convolution) else 0):
        for place, into in enumerate(merged):
            if both := _one(into, term):
                merged[place] = both
                break
        else:
            merged.append(term)
    return merged


def _one(into: _Term, term: _Term) -> _Convolution | None:
    """Both terms as one convolution of the size of the first, where that is possible."""
    if not isinstance(into, _Convolution) or not into.mergeable or into.tensor is not term.tensor:
        return None
    if isinstance(term, _Identity):
        kernel, strides = term.scale * np.eye(into.kernel.shape[2])[None, None], (1, 1)
    elif term.mergeable:
        kernel, strides = term.kernel, term.strides
    else:
        return None
    # Both read from the same pixel on: where the smaller kernel begins in the larger one.
    starts = [own[0] - other[0] for own, other in zip(into.padding, term.padding, strict=True)]
    sizes = list(zip(starts, kernel.shape, into.kernel.shape, strict=False))
    if strides != into.strides or not all(s >= 0 and s + n <= room for s, n, room in sizes):
        return None
    total = into.kernel.copy()
    rows, columns = (slice(start, start + size) for start, size, _ in sizes)
    total[rows, columns] += kernel
    return dataclasses.replace(into, kernel=total)


def _own_padding(term: _Convolution) -> tuple[Padding, str]:
    """The zeros to put around a convolution's input, and the padding that it does itself.

    It pads itself where TensorFlow's "same" is what is asked for; rows and columns that no place of
    the kernel reaches are not added.
    """
    if term.layer and term.layer.padding == "same":
        return _NONE, "same"
    wanted, same = [], []
    for axis, (before, after) in enumerate(term.padding):
        side, stride = term.tensor.shape[1 + axis], term.strides[axis]
        reach = (term.kernel.shape[axis] - 1) * term.dilation[axis] + 1
        last = (side + before + after - reach) // stride * stride + reach - before
        wanted.append((before, max(last - side, 0)))
        needed = max((-(-side // stride) - 1) * stride + reach - side, 0)
        same.append((needed // 2, needed - needed // 2))
    if wanted == same and sum(sum(pair) for pair in wanted):
        return _NONE, "same"
    return tuple(wanted), "valid"
