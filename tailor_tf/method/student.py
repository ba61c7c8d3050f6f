"""The student: frozen universal blocks, proxies that skip ahead, and gates (NetTailor, eq. 2-4)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from tailor_tf.backbones.universal import Universal
from tailor_tf.network import keys, weights
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.factories import ExistingLayers, HeadLayers, NewLayers, UniversalLayers
from tailor_tf.network.graph import BlockGraph, add_path, build_network, classifier
from tailor_tf.network.layers import GatedSum, SharedGates
from tailor_tf.network.own import own_keys
from tailor_tf.support.errors import TailorError

UNIVERSAL_LOGIT = 2.0  # gate logits before training
PROXY_LOGIT = -2.0


@dataclasses.dataclass(frozen=True, eq=False)
class Student:
    """A student: a universal network, the paths over it, and the Keras model of both.

    Layer `l` computes `x_l = ReLU(sum_i alpha_i * path_i)` over the paths into it, with
    `alpha = softmax(gate logits)` (NetTailor, eq. 2-4). The three parts are always passed together,
    so that they cannot be mixed up.

    Attributes:
        universal: the universal network; its kernels are shared, not copied.
        architecture: the paths that exist.
        model: functional, from images `[batch, height, width, 3]` to a dictionary of `"logits"`
            `[batch, num_classes]` and `"nodes"`, the list of `x_l` for `l` in
            `architecture.layers`.
    """

    universal: Universal
    architecture: Architecture
    model: keras.Model

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.model.output["logits"].shape[-1]

    def gates(self) -> dict[Path, Any]:
        """The gate of each path as a scalar tensor, 0..1 (eq. 3); differentiable."""
        return self._of_paths(lambda layer: ops.unstack(layer.gates(), layer.num_paths))

    def gate_values(self) -> dict[Path, float]:
        """The gate of each path as a number, 0..1."""
        return {path: float(gate) for path, gate in self.gates().items()}

    def gate_logits(self) -> dict[Path, float]:
        """The gate logit of each path as a number."""
        return self._of_paths(lambda layer: ops.convert_to_numpy(layer.logits).tolist())

    def _of_paths(self, values: Callable[[GatedSum], Any]) -> dict[Path, Any]:
        """Values by path; `values` returns one value per path for the gates of each layer."""
        return {
            path: value
            for layer in self.architecture.layers
            for path, value in zip(
                self.architecture.into(layer),
                values(self.model.get_layer(keys.gate(layer))),
                strict=True,
            )
        }

    def task_weights(self) -> Mapping[str, keras.Variable]:
        """The weights that are stored per task, by key."""
        found, own = weights.variables(self.model), self.own_keys
        return {key: variable for key, variable in found.items() if key in own}

    @property
    def own_keys(self) -> frozenset[str]:
        """Keys of the weights that are stored per task."""
        return own_keys(self.model, self.architecture.own)

    def layer_weights(self, layer: int) -> list[keras.Variable]:
        """The trainable weights of the proxies and gates of `layer`."""
        trained = self.model.trainable_variables
        return [variable for variable in trained if keys.trained_in(variable.path, layer)]


def initial_logit(path: Path) -> float:
    """The gate logit of a path before training."""
    return UNIVERSAL_LOGIT if path.universal else PROXY_LOGIT


def build_teacher(
    universal: Universal, num_classes: int, *, depth: int | None = None, head_channels: int = 0
) -> keras.Model:
    """Builds a trainable copy of a universal network with a new classifier.

    Args:
        universal: the universal network.
        num_classes: number of classes.
        depth: the node that the classifier reads; blocks after it are left out. `L` by default.
        head_channels: channels of the task's own head, see `BlockGraph.read_out`; 0 for none.
    """
    teacher = build_network(universal.graph, num_classes, depth=depth, head_channels=head_channels)
    weights.assign(
        teacher,
        weights.variables(universal.model),
        origin="the universal network",
        wanted=lambda key: not keys.is_classifier(key) and not keys.is_own_head(key),
    )
    return teacher


def build_student(
    universal: Universal,
    architecture: Architecture,
    num_classes: int,
    *,
    logits: Callable[[Path], float] = initial_logit,
) -> Student:
    """Builds a student over a universal network.

    Args:
        universal: the universal network. Its kernels are shared and stay frozen. Its batch norms
            are copied, with frozen scale and offset, so that each task has statistics of its own;
            those of the head are trained.
        architecture: the paths that exist.
        num_classes: number of classes.
        logits: from a path to its gate logit before training.

    Raises:
        TailorError: the architecture has another number of blocks than the universal network, a
            path reads a node that does not exist, or no path leads into the last layer.
    """
    _check(universal.graph, architecture)
    blocks, own = UniversalLayers(universal.model, architecture.own), NewLayers()
    return _assemble(
        universal,
        architecture,
        blocks=blocks,
        proxies=own,
        head=own if architecture.head_channels else HeadLayers(universal.model),
        gates=lambda paths, name: GatedSum([logits(path) for path in paths], name=name),
        last=lambda: classifier(num_classes),
    )


def subnet(student: Student, kept: Architecture) -> Student:
    """The student pruned to some of its paths, with all weights shared, not copied.

    Training either of them changes the other one. `prune_student` makes a network of its own.

    Args:
        student: the student.
        kept: the paths that remain, a part of the student's.
    """
    model, layers = student.model, ExistingLayers(student.model)

    def gates(paths: Sequence[Path], name: str) -> SharedGates:
        every = student.architecture.into(paths[0].target)
        return SharedGates(model.get_layer(name), [every.index(path) for path in paths])

    return _assemble(
        student.universal,
        kept,
        blocks=layers,
        proxies=layers,
        head=layers,
        gates=gates,
        last=lambda: model.get_layer(keys.CLASSIFIER),
    )


def _assemble(
    universal: Universal,
    architecture: Architecture,
    *,
    blocks: NewLayers,
    proxies: NewLayers,
    head: NewLayers,
    gates: Callable[[Sequence[Path], str], GatedSum],
    last: Callable[[], keras.layers.Layer],
) -> Student:
    """Connects layers to a student.

    Args:
        universal: the universal network.
        architecture: the paths that exist.
        blocks: factory of the layers of stem and universal blocks.
        proxies: factory of the layers of proxies.
        head: factory of the layers of the head.
        gates: from the paths into a layer and a name to the layer that sums them.
        last: makes the classifier, after all other layers: seeds follow their order.
    """
    graph = universal.graph
    images = keras.Input(graph.input_shape, name="images")
    nodes = {0: graph.stem(images, blocks)}
    for layer in architecture.layers:
        paths = architecture.into(layer)
        arriving = [
            add_path(graph, path, nodes[path.source], blocks if path.universal else proxies)
            for path in paths
        ]
        gate = gates(paths, keys.gate(layer))
        nodes[layer] = graph.activate(keys.node(layer))(gate(arriving))
    depth = architecture.depth
    features = graph.read_out(nodes[depth], depth, head, architecture.head_channels)
    outputs = {
        "logits": last()(features),
        "nodes": [nodes[layer] for layer in architecture.layers],
    }
    model = keras.Model(images, outputs, name="student")
    return Student(universal, architecture, model)


def _check(graph: BlockGraph, architecture: Architecture) -> None:
    if architecture.num_blocks != graph.num_blocks:
        raise TailorError(
            f"The architecture is for {architecture.num_blocks} blocks and {graph.name} has "
            f"{graph.num_blocks}."
        )
    alive = {0, *architecture.layers}
    for path in architecture.paths:
        if path.source not in alive:
            raise TailorError(f"{path.name} reads x_{path.source}, which no path produces.")
    for path in architecture.paths:
        before, after = graph.node_shape(path.source), graph.node_shape(path.target)
        if path.identity and before != after:
            raise TailorError(
                f"{path.name} cannot be the node before it: x_{path.source} has shape {before} and "
                f"x_{path.target} has shape {after}."
            )
    if architecture.depth not in alive:
        raise TailorError(
            f"No path leads into layer {architecture.depth}; the classifier has nothing to read."
        )


def prune_student(student: Student, kept: Architecture) -> Student:
    """Builds the pruned student, with the weights of the student before.

    Args:
        student: the student before pruning; not changed.
        kept: the paths that remain.

    Returns:
        A student whose gates are the softmax of the old logits over the remaining paths.
    """
    logits = student.gate_logits()
    pruned = build_student(student.universal, kept, student.num_classes, logits=logits.__getitem__)
    own = pruned.own_keys
    weights.assign(
        pruned.model,
        weights.variables(student.model),
        origin="the student",
        wanted=lambda key: key in own and not keys.is_gate(key),
    )
    return pruned
