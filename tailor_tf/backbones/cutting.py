"""Cutting a functional Keras image network into blocks, so that it can be a universal network.

The network is copied without dropout and without networks inside networks (`flattening`). It is cut
between the units that it was built of (`ends`). If there are more units than blocks, neighbouring
units are merged until the blocks cost nearly the same.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import tree

from tailor_tf.backbones import definition
from tailor_tf.backbones.ends import End, unit_ends
from tailor_tf.backbones.flattening import flattened, replay
from tailor_tf.network import keys
from tailor_tf.network.blocks import max_pool
from tailor_tf.network.factories import NewLayers
from tailor_tf.network.graph import BlockGraph, Normalisation, chain
from tailor_tf.support.errors import TailorError

MOST_BLOCKS = 24  # by default; a larger number can be asked for
FEWEST_BLOCKS = 3


def cut(
    model: keras.Model,
    config: Mapping[str, Any],
    *,
    blocks: int | None = None,
    normalisation: Normalisation | None = None,
    origin: str | None = None,
) -> tuple[BlockGraph, dict[str, np.ndarray]]:
    """Cuts a functional network into stem, blocks and head.

    Args:
        model: from images `[batch, height, width, 3]` to features `[batch, height, width,
            channels]`; not changed.
        config: arguments that build the description again, including `name`.
        blocks: number of blocks; by default one for each unit, but at most `MOST_BLOCKS`.
        normalisation: normalisation of the network's images.
        origin: name of the network in error messages; the name in `config` by default.

    Returns:
        The description, with `blocks` added to its `config`, and the weights by key.

    Raises:
        TailorError: the model does not have one input and one output of these shapes, uses a layer
            twice, or has fewer than `FEWEST_BLOCKS` or fewer than `blocks` places to cut.
    """
    origin = origin or config["name"]
    _check_shapes(origin, model)
    flat = flattened(model)
    ends = _choose(origin, unit_ends(flat), blocks)
    _check_sizes(origin, [end.tensor for end in ends])
    rectified = all(end.rectified for end in ends[1:])
    places = [(end.before if rectified and i else end.tensor) for i, end in enumerate(ends)]
    # Segments are made last: each adds nodes to the graphs of the layers in it.
    text = definition.written(flat)
    starts = [flat.input, *(end.tensor for end in ends)]
    segments = [keras.Model(a, b) for a, b in zip(starts, places, strict=False)]
    head = None if ends[-1].tensor is flat.output else keras.Model(ends[-1].tensor, flat.output)
    builds = [functools.partial(_segment, segment=segment) for segment in segments]
    graph = chain(
        config["name"].replace("/", "_"),  # a preset may be a path
        {**config, "blocks": len(ends) - 1},
        tuple(model.input.shape[1:]),
        builds[0],
        builds[1:],
        functools.partial(_head, segment=head),
        proxies="fitted",
        activation="relu" if rectified else "linear",
        normalisation=normalisation,
        definition=text,
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


def _check_shapes(name: str, model: keras.Model) -> None:
    shapes = [tuple(tensor.shape) for tensor in tree.flatten([model.inputs, model.outputs])]
    if [len(shape) for shape in shapes] != [4, 4] or shapes[0][-1] != 3:
        raise TailorError(
            f"{name} has inputs and outputs of shapes {shapes}; expected one input [batch, height, "
            "width, 3] and one output [batch, height, width, channels]."
        )


def _check_sizes(name: str, nodes: Sequence[Any]) -> None:
    """Refuses nodes that the pool of a proxy cannot bring to the size of a later node."""
    sizes = list(dict.fromkeys(tuple(node.shape[1:3]) for node in nodes))
    square = all(height == width for height, width in sizes)
    pairs = itertools.combinations([height for height, _ in sizes], 2)
    if not square or any(_pooled(before, after) != after for before, after in pairs):
        raise TailorError(
            f"{name} has nodes of {', '.join(f'{h}x{w}' for h, w in sizes)} pixels; expected "
            "squares, each side a multiple of the next one, as the pools of proxies need. Choose "
            'another image size; convolutions that pad with "same" keep multiples.'
        )


def _pooled(before: int, after: int) -> int:
    """Side of the pool of a proxy that leads from a node to one with another side, pixels."""
    stride = -(-before // after)
    if stride == 1:
        return before
    return max_pool(keras.Input((before, before, 1)), stride + 1, stride).shape[1]


def _choose(name: str, ends: Sequence[End], blocks: int | None) -> list[End]:
    """Ends of the stem and of each block, chosen so that the blocks' costs are nearly equal."""
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


def _segment(x, *, name, layers: NewLayers, segment: keras.Model):
    def copy(operation):
        return layers.copy(keys.within(name, operation.name), operation)

    return replay(segment, x, copy)


def _head(x, *, name, layers: NewLayers, segment: keras.Model | None):
    if segment is not None:
        x = _segment(x, name=name, layers=layers, segment=segment)
    return kl.GlobalAveragePooling2D(name=f"{name}_average")(x)
