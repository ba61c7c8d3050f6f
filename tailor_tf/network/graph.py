"""Description of a network as stem, blocks and head, and the Keras model built from it."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import keras

from tailor_tf.network import blocks, counting, keys
from tailor_tf.network.architecture import STATISTICS, Architecture, Path
from tailor_tf.network.factories import CountedLayers, NewLayers

Shape = tuple[int, int, int]  # height, width, channels
OWN_HEAD_FACTOR = 2  # channels of a head of the task's own for each channel that it reads


class Normalisation(NamedTuple):
    """Normalisation of a network's images: `(image / 255 - mean) / std`, red, green, blue."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A piece of a network with one input and one output tensor: the stem, a block or the head.

    Attributes:
        name: start of the names of its layers.
        build: function `(x, *, name, layers) -> y` that adds the piece to a functional model.
        input_shape: height, width and channels of `x`.
        output_shape: height, width and channels of `y`; channels alone for the head.
        multiply_adds: multiply-adds of the piece for one image.
    """

    name: str
    build: Callable[..., Any]
    input_shape: Shape
    output_shape: tuple[int, ...]
    multiply_adds: int

    @classmethod
    def of(cls, name: str, build: Callable[..., Any], input_shape: Shape) -> "Part":
        """Describes the piece that `build` makes, for an input of shape `input_shape`."""
        x = keras.Input(input_shape)
        y = build(x, name=name, layers=CountedLayers())
        cost = counting.multiply_adds(keras.Model(x, y))
        return cls(name, build, input_shape, tuple(y.shape[1:]), cost)

    def __call__(self, x: Any, layers: NewLayers) -> Any:
        """Adds the piece to a functional model, with layers of the factory `layers`."""
        return self.build(x, name=self.name, layers=layers)


@dataclasses.dataclass(frozen=True, eq=False)
class BlockGraph:
    """A universal network as stem, blocks `1..L` and head; frozen, without weights.

    Node `x_0` is the output of the stem, and node `x_l = ReLU(G_l(x_{l-1}))` the output of layer
    `l`, where `G_l` is `blocks[l - 1]`. The head turns `x_L` into a feature vector, which the
    classifier reads. In networks whose blocks do not end with a ReLU, `activation` replaces it.

    Attributes:
        name: the backbone's name, such as "resnet34".
        config: arguments that build the same graph again through `backbones.create`; JSON values.
        input_shape: height, width and channels of the images, after preprocessing.
        stem: from images to `x_0`.
        blocks: the universal blocks `G_1..G_L`, each before the layer's last ReLU.
        head: from `x_L` to features `[batch, channels]`.
        proxies: kind of its proxies, one of `PROXIES`.
        activation: function from the sum of a layer's paths to `x_l`: "relu", or "linear" for none.
        normalisation: normalisation of its images; `None` if each task uses its own statistics.
        definition: Keras's JSON of the network that it was cut from, stored beside the universal
            weights; `None` if `config` alone builds the graph.
    """

    name: str
    config: Mapping[str, Any]
    input_shape: Shape
    stem: Part
    blocks: tuple[Part, ...]
    head: Part
    proxies: str = "plain"
    activation: str = "relu"
    normalisation: Normalisation | None = None
    definition: str | None = dataclasses.field(default=None, repr=False)

    @property
    def num_blocks(self) -> int:
        """`L`, the number of universal blocks."""
        return len(self.blocks)

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """The nodes after which the shape changes, and the last one, in order.

        A network can end behind each of these. Behind another node it need not: until the end of
        the stage, identity paths instead of blocks have the same result.
        """
        layers = range(1, self.num_blocks)
        ends = (layer for layer in layers if self.node_shape(layer) != self.node_shape(layer + 1))
        return (*ends, self.num_blocks)

    @property
    def rectified(self) -> bool:
        """Whether nodes `x_1..x_L` are never negative."""
        return self.activation == "relu"

    def activate(self, name: str) -> keras.layers.Layer:
        """A new activation layer, from the sum of a layer's paths to the node."""
        if self.rectified:
            return keras.layers.ReLU(name=name)
        return keras.layers.Activation(self.activation, name=name)

    def read_out(self, x: Any, depth: int, layers: NewLayers, head_channels: int = 0) -> Any:
        """Adds the features that a classifier reads to a functional model.

        The universal network's head reads the last node. A node before it is averaged over its
        positions, after the layers of a head of the task's own if there is one: a 1x1 convolution,
        batch norm and ReLU.

        Args:
            x: the node `x_depth`, `[batch, height, width, channels]`.
            depth: number of the node.
            layers: factory of layers.
            head_channels: channels of the head of the task's own; 0 for none.

        Returns:
            Features `[batch, channels]`.
        """
        if depth == self.num_blocks:
            return self.head(x, layers)
        if head_channels:
            conv, norm = f"{keys.EXIT}_conv", f"{keys.EXIT}_bn"
            x = blocks.conv_bn(x, head_channels, 1, 1, conv_name=conv, bn_name=norm, layers=layers)
        return keras.layers.GlobalAveragePooling2D(name=keys.EXIT)(x)

    def own_head_channels(self, depth: int) -> int:
        """Channels of a head of the task's own behind node `depth`; 0 behind the last one."""
        last = depth == self.num_blocks
        return 0 if last else OWN_HEAD_FACTOR * self.node_shape(depth)[-1]

    def node_shape(self, node: int) -> Shape:
        """Height, width and channels of `x_node`; node 0 is the stem's output."""
        return self.blocks[node - 1].output_shape if node else self.stem.output_shape


def chain(
    name: str,
    config: Mapping[str, Any],
    input_shape: Shape,
    stem: Callable[..., Any],
    blocks: Iterable[Callable[..., Any]],
    head: Callable[..., Any],
    **options: Any,
) -> BlockGraph:
    """Describes a network that is a chain: each part reads the output of the part before it.

    Args:
        name: the backbone's name.
        config: arguments that build the same graph again; JSON values.
        input_shape: height, width and channels of the images.
        stem: build function of the stem, see `Part.build`.
        blocks: build functions of the blocks, in order.
        head: build function of the head.
        **options: further attributes of `BlockGraph`.
    """
    parts = [Part.of(keys.STEM, stem, input_shape)]
    for index, build in enumerate(blocks, start=1):
        parts.append(Part.of(keys.block(index), build, parts[-1].output_shape))
    end = Part.of(keys.HEAD, head, parts[-1].output_shape)
    return BlockGraph(name, config, input_shape, parts[0], tuple(parts[1:]), end, **options)


def build_network(
    graph: BlockGraph,
    num_classes: int,
    *,
    layers: NewLayers | None = None,
    depth: int | None = None,
    head_channels: int = 0,
) -> keras.Model:
    """Builds the network itself: the source network, a universal network or a teacher.

    Args:
        graph: the description.
        num_classes: number of classes.
        layers: factory of layers; new trainable ones by default.
        depth: the node that the classifier reads; blocks after it are left out. `L` by default.
        head_channels: channels of the task's own head, see `BlockGraph.read_out`; 0 for none.

    Returns:
        A functional model from images `[batch, height, width, 3]` to a dictionary of `"logits"`
        `[batch, num_classes]` and `"nodes"`, the list `x_1..x_depth` of
        `[batch, height, width, channels]`.
    """
    layers = layers or NewLayers()
    depth = graph.num_blocks if depth is None else depth
    images = keras.Input(graph.input_shape, name="images")
    x = graph.stem(images, layers)
    nodes = []
    for layer, block in enumerate(graph.blocks[:depth], start=1):
        x = graph.activate(keys.node(layer))(block(x, layers))
        nodes.append(x)
    logits = classifier(num_classes)(graph.read_out(x, depth, layers, head_channels))
    return keras.Model(images, {"logits": logits, "nodes": nodes}, name=graph.name)


def classifier(num_classes: int) -> keras.layers.Dense:
    """A new classifier; its logits are float32 also in mixed-precision training."""
    precision = keras.config.dtype_policy().variable_dtype
    return keras.layers.Dense(num_classes, dtype=precision, name=keys.CLASSIFIER)


def _fitted_width(graph: BlockGraph, path: Path) -> int | None:
    """Width of a proxy that costs at most `PROXY_SHARE` of the block beside it, if possible.

    It is `None`, for a plain proxy, if that is within the share or not more than a bottleneck of
    the smallest width.
    """
    height, width, channels = graph.node_shape(path.target)
    positions, read = height * width, graph.node_shape(path.source)[-1]
    most = PROXY_SHARE * graph.blocks[path.target - 1].multiply_adds / positions
    plain = channels * (read + 2)  # each convolution with its normalisation
    middle = max(int((most - 2 * channels) / (read + channels + 2)), blocks.NARROWEST_PROXY)
    bottleneck = middle * (read + channels + 2) + 2 * channels
    return None if plain <= max(most, bottleneck) else middle


# Channels in the middle of a proxy, by kind; `None` for a proxy of one convolution.
_PROXY_WIDTHS: Mapping[str, Callable[[BlockGraph, Path], int | None]] = {
    "plain": lambda graph, path: None,
    "bottleneck": lambda graph, path: blocks.bottleneck_width(graph.node_shape(path.target)[-1]),
    "fitted": _fitted_width,
}
PROXIES = tuple(_PROXY_WIDTHS)
PROXY_SHARE = 1 / 8


def full_architecture(
    graph: BlockGraph,
    *,
    max_skip: int | None = 3,
    identities: bool = False,
    own: str = STATISTICS,
    depth: int | None = None,
    own_head: bool = False,
) -> Architecture:
    """What a student with all paths consists of.

    Args:
        graph: the universal network's description.
        max_skip: largest number of layers that a proxy may cover; `None` for no limit.
        identities: whether the path from the node before is that node itself where shapes agree,
            instead of a proxy. What stands in for a removed residual block then begins as doing
            nothing, not as a random convolution. Not in the paper.
        own: the weights of universal blocks that belong to the task, one of `architecture.OWN`.
        depth: number of layers, behind which the classifier stands; all by default.
        own_head: whether a head of the task's own stands behind a layer before the last one.

    Raises:
        TailorError: `max_skip` is below one, an unknown `own`, or a depth that the network does not
            have.
    """
    every = Architecture.full(graph.num_blocks, max_skip)
    within = tuple(path for path in every.paths if depth is None or path.target <= depth)
    full = Architecture(graph.num_blocks, within, depth, own)
    if own_head:
        channels = graph.own_head_channels(full.depth)
        full = dataclasses.replace(full, head_channels=channels)
    if not identities:
        return full
    same = [
        layer
        for layer in range(1, full.depth + 1)
        if graph.node_shape(layer) == graph.node_shape(layer - 1)
    ]
    left = full.without(Path.proxy(layer, source=layer - 1) for layer in same)
    return left.with_paths((*left.paths, *map(Path.same, same)))


def add_path(graph: BlockGraph, path: Path, x: Any, layers: NewLayers) -> Any:
    """Adds a path, a universal block or a proxy, to a functional model.

    Args:
        graph: the universal network's description.
        path: the path.
        x: the node that the path reads, `[batch, height, width, channels]`.
        layers: factory of layers.

    Returns:
        Tensor `[batch, height, width, channels]` of the shape of the path's target.
    """
    if path.identity:
        return x
    if path.universal:
        return graph.blocks[path.target - 1](x, layers)
    return blocks.proxy(
        x,
        graph.node_shape(path.target),
        width=_PROXY_WIDTHS[graph.proxies](graph, path),
        rectified=graph.rectified,
        name=path.name,
        layers=layers,
    )
