"""Cutting a functional Keras image network into blocks, so that it can be a universal network.

The network is copied without dropout and without networks inside networks. It can be cut at every
tensor that is the only input of all later layers. Neighbouring pieces are merged until the blocks
cost nearly the same.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import tree

from tailor_tf.network import keys
from tailor_tf.network.counting import layer_multiply_adds
from tailor_tf.network.factories import NewLayers
from tailor_tf.network.graph import BlockGraph, Normalisation, chain
from tailor_tf.support.errors import TailorError

MOST_BLOCKS = 16  # by default; a larger number can be asked for
FEWEST_BLOCKS = 3

_DROPPED = (kl.Dropout, kl.SpatialDropout2D, kl.GaussianNoise, kl.GaussianDropout)
_ACTIVATIONS = (kl.Activation, kl.ReLU, kl.LeakyReLU, kl.ELU, kl.PReLU)
_NORMS = (kl.BatchNormalization, kl.LayerNormalization)
_POOLS = (kl.ZeroPadding2D, kl.MaxPooling2D, kl.AveragePooling2D)
_MERGES = (kl.Add, kl.Concatenate, kl.Multiply, kl.Average, kl.Maximum)


def cut(
    model: keras.Model,
    config: Mapping[str, Any],
    *,
    blocks: int | None = None,
    normalisation: Normalisation | None = None,
) -> tuple[BlockGraph, dict[str, np.ndarray]]:
    """Cuts a functional network into stem, blocks and head.

    Args:
        model: from images `[batch, height, width, 3]` to features `[batch, height, width,
            channels]`; not changed.
        config: arguments that build the description again, including `name`.
        blocks: number of blocks; by default as many as possible, but at most `MOST_BLOCKS`.
        normalisation: normalisation of the network's images.

    Returns:
        The description, with `blocks` added to its `config`, and the weights by key.

    Raises:
        TailorError: the model does not have one input and one output of these shapes, uses a layer
            twice, or has fewer than `FEWEST_BLOCKS` or fewer than `blocks` places to cut.
    """
    name = config["name"]
    flat = _flattened(model, name)
    ends = _choose(name, _candidates(flat), blocks)
    rectified = all(end.rectified for end in ends[1:])
    places = [(end.before if rectified and i else end.tensor) for i, end in enumerate(ends)]
    # Segments are made last: each adds nodes to the graphs of the layers in it.
    starts = [flat.input, *(end.tensor for end in ends)]
    segments = [keras.Model(a, b) for a, b in zip(starts, places, strict=False)]
    head = None if ends[-1].tensor is flat.output else keras.Model(ends[-1].tensor, flat.output)
    builds = [functools.partial(_segment, segment=segment) for segment in segments]
    graph = chain(
        name.replace("/", "_"),  # a preset may be a path
        {**config, "blocks": len(ends) - 1},
        tuple(model.input.shape[1:]),
        builds[0],
        builds[1:],
        functools.partial(_head, segment=head),
        proxies="fitted",
        activation="relu" if rectified else "linear",
        normalisation=normalisation,
    )
    parts = [keys.STEM, *(block.name for block in graph.blocks), keys.HEAD]
    return graph, _weights(dict(zip(parts, [*segments, head], strict=True)))


def _weights(segments: Mapping[str, keras.Model | None]) -> dict[str, np.ndarray]:
    """The weights by key of the networks of stem, blocks and head, given by the part's name."""
    tensors = {}
    for part, segment in segments.items():
        for layer in segment.layers if segment else ():
            name = keys.within(part, layer.name)
            if isinstance(layer, kl.BatchNormalization):  # it may have no scale or no offset
                channels = layer.moving_mean.shape
                tensors[f"{name}/gamma"] = np.ones(channels, np.float32)
                tensors[f"{name}/beta"] = np.zeros(channels, np.float32)
            for variable in layer.weights:
                key = keys.stable(f"{name}/{variable.name}", tensors)
                tensors[key] = np.array(variable)
    return tensors


def replay(model: keras.Model, x: Any, copy: Callable[[keras.Operation], Callable]) -> Any:
    """Calls the operations of a functional network again, each one replaced by `copy`.

    Args:
        model: a network with one input and one output.
        x: tensor that replaces the network's input.
        copy: from an operation to its replacement, a callable with the same arguments.

    Returns:
        The tensor that replaces the network's output.
    """
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = copy(layer)(x)
        return x
    results = []

    def call(operation, *args, **kwargs):
        results.append(operation(*args, **kwargs))
        return results[-1]

    keras.models.clone_model(model, input_tensors=x, clone_function=copy, call_function=call)
    return results[-1]  # the operation of the output is the deepest and is called last


def _flattened(model: keras.Model, name: str) -> keras.Model:
    """A copy with the weights: no networks inside networks, no fused activations, no dropout."""
    shapes = [tuple(tensor.shape) for tensor in tree.flatten([model.inputs, model.outputs])]
    if [len(shape) for shape in shapes] != [4, 4] or shapes[0][-1] != 3:
        raise TailorError(
            f"{name} has inputs and outputs of shapes {shapes}; expected one input [batch, height, "
            "width, 3] and one output [batch, height, width, channels]."
        )

    def copied(operation, prefix=""):
        if isinstance(operation, keras.Model):
            inner = functools.partial(copied, prefix=f"{prefix}{operation.name}_")
            return lambda x, **_: replay(operation, x, inner)
        if _is_dropped(operation):
            return lambda x, **_: x
        copy = _once(_copy(operation, prefix + operation.name), operation)
        fused = getattr(operation, "activation", None)
        if isinstance(operation, _ACTIVATIONS) or fused in (None, keras.activations.linear):
            return copy
        activation = kl.Activation(fused, name=f"{prefix}{operation.name}_activation")
        return lambda x, **_: activation(copy(x))

    x = keras.Input(model.input.shape[1:], name="images")
    return keras.Model(x, replay(model, x, copied))


def _once(fresh: keras.Operation, source: keras.Operation) -> Callable:
    """A function that calls `fresh` with the weights of `source`, and refuses a second call."""
    calls = []

    def call(*args, **kwargs):
        calls.append(args)
        if len(calls) > 1:
            raise TailorError(
                f"The network uses its layer {source.name} more than once; a network that shares "
                "weights between its parts cannot be cut."
            )
        y = fresh(*args, **kwargs)
        if isinstance(source, keras.Layer):
            fresh.set_weights(source.get_weights())
        return y

    return call


def _is_dropped(operation: keras.Operation) -> bool:
    return isinstance(operation, _DROPPED) or type(operation).__name__ == "StochasticDepth"


def _copy(operation: keras.Operation, name: str) -> keras.Operation:
    """A copy without fused activation; a `Normalization` keeps its mean and variance."""
    config = {**operation.get_config(), "name": name}
    if "activation" in config and not isinstance(operation, _ACTIVATIONS):
        config["activation"] = None
    if isinstance(operation, kl.Normalization):
        config |= {k: np.array(getattr(operation, k)).tolist() for k in ("mean", "variance")}
    return type(operation).from_config(config)


@dataclasses.dataclass(frozen=True, eq=False)
class _End:
    """A possible end of a block: a tensor that is the only input of all later layers.

    Attributes:
        tensor: the tensor.
        cost: multiply-adds of all layers up to the tensor, for one image.
        kernels: number of layers with weights up to the tensor, without normalisations.
        rectified: whether the tensor is the output of a plain ReLU.
        before: the input of that ReLU; if there is none, the tensor itself.
    """

    tensor: Any
    cost: int
    kernels: int
    rectified: bool
    before: Any


def _candidates(flat: keras.Model) -> list[_End]:
    """Possible ends of blocks, in order; after the last one there are no kernels."""
    readers: dict[int, list] = {}
    for operation in flat.operations[1:]:
        for tensor in tree.flatten(operation.input):
            readers.setdefault(id(tensor), []).append(operation)
    alive: dict[int, int] = {id(flat.input): len(readers[id(flat.input)])}
    ends, cost, kernels = [], 0, 0
    for operation in flat.operations[1:]:
        cost += layer_multiply_adds(operation) if isinstance(operation, keras.Layer) else 0
        kernels += _has_kernel(operation)
        for tensor in {id(t): t for t in tree.flatten(operation.input)}.values():
            alive[id(tensor)] -= 1
        output = operation.output
        alive[id(output)] = len(readers.get(id(output), ()))
        alive = {key: count for key, count in alive.items() if count}
        followers = readers.get(id(output), [])
        if set(alive) <= {id(output)} and _may_end(operation, followers):
            rectified = _is_relu(operation)
            before = operation.input if rectified else output
            ends.append(_End(output, cost, kernels, rectified, before))
    while len(ends) > 1 and ends[-2].kernels == ends[-1].kernels:
        ends.pop()
    return ends


def _has_kernel(operation: keras.Operation) -> bool:
    weighted = isinstance(operation, keras.Layer) and bool(operation.weights)
    return weighted and not isinstance(operation, _NORMS)


def _may_end(operation: keras.Operation, followers: Sequence[keras.Operation]) -> bool:
    """Whether a block may end after an operation: not before its normalisation or activation."""
    if isinstance(operation, kl.ZeroPadding2D):
        return False
    if followers and all(isinstance(follower, _POOLS) for follower in followers):
        return False
    finished = not any(isinstance(follower, _ACTIVATIONS) for follower in followers)
    if isinstance(operation, _MERGES) or not isinstance(operation, keras.Layer):
        return finished
    unfinished = _has_kernel(operation) and any(isinstance(f, _NORMS) for f in followers)
    return finished and not unfinished


def _is_relu(operation: keras.Operation) -> bool:
    if isinstance(operation, kl.ReLU):
        return operation.max_value is None and not operation.negative_slope
    return isinstance(operation, kl.Activation) and operation.activation is keras.activations.relu


def _choose(name: str, ends: Sequence[_End], blocks: int | None) -> list[_End]:
    """Ends of the stem and of each block, chosen so that the blocks' costs are nearly equal."""
    ends = _narrow(ends)
    most = len(ends) - 1
    if most < FEWEST_BLOCKS:
        raise TailorError(
            f"{name} has {max(most, 0)} places between its stem and its head where a single tensor "
            f"passes; expected at least {FEWEST_BLOCKS}, or there is nothing to leave out."
        )
    if blocks is None:
        blocks = min(most, MOST_BLOCKS)
    if not FEWEST_BLOCKS <= blocks <= most:
        raise TailorError(
            f"{name} cannot be cut into {blocks} blocks; expected {FEWEST_BLOCKS} to {most}."
        )
    cost = [end.cost for end in ends]
    even = (cost[-1] - cost[0]) / blocks

    @functools.cache
    def best(end: int, count: int) -> tuple[float, tuple[int, ...]]:
        """Smallest squared error of `count` blocks' costs up to `end`, and their ends."""
        if count == 0:
            return (0.0 if end == 0 else math.inf), (end,)
        options = (
            (before + (cost[end] - cost[start] - even) ** 2, (*path, end))
            for start in range(count - 1, end)
            for before, path in (best(start, count - 1),)
        )
        return min(options, default=(math.inf, ()))

    return [ends[place] for place in best(most, blocks)[1]]


def _narrow(ends: Sequence[_End]) -> list[_End]:
    """Leaves out ends inside a block that widens its channels: a later end has half as many."""
    channels = [end.tensor.shape[-1] for end in ends]
    fewest_later = [*itertools.accumulate(reversed(channels[1:]), min)][::-1]
    kept = [own < 2 * later for own, later in zip(channels, fewest_later, strict=False)]
    return [*itertools.compress(ends, kept), *ends[-1:]]


def _segment(x, *, name, layers: NewLayers, segment: keras.Model):
    def copy(operation):
        return layers.copy(keys.within(name, operation.name), operation)

    return replay(segment, x, copy)


def _head(x, *, name, layers: NewLayers, segment: keras.Model | None):
    if segment is not None:
        x = _segment(x, name=name, layers=layers, segment=segment)
    return kl.GlobalAveragePooling2D(name=f"{name}_average")(x)
