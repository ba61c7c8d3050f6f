"""The student: frozen universal blocks, proxies that skip ahead, and gates (NetTailor, eq. 2-4)."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from tailor_tf.backbones.universal import Universal
from tailor_tf.network import keys, weights
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.factories import NewLayers, UniversalLayers
from tailor_tf.network.graph import BlockGraph, build_network, classifier, follow
from tailor_tf.network.layers import GatedSum
from tailor_tf.support.errors import TailorError

UNIVERSAL_LOGIT = 2.0  # gate logits at the start
PROXY_LOGIT = -2.0


def initial_logit(path: Path) -> float:
    """The gate logit of a path before training."""
    return UNIVERSAL_LOGIT if path.universal else PROXY_LOGIT


def build_teacher(universal: Universal, num_classes: int) -> keras.Model:
    """Builds a trainable copy of a universal network with a new classifier."""
    teacher = build_network(universal.graph, num_classes)
    source = weights.arrays(universal.model)
    weights.assign(
        teacher,
        source,
        origin="the universal network",
        wanted=lambda key: not keys.is_classifier(key),
    )
    return teacher


def build_student(
    universal: Universal,
    architecture: Architecture,
    num_classes: int,
    *,
    logits: Callable[[Path], float] = initial_logit,
) -> keras.Model:
    """Builds a student over a universal network.

    Args:
        universal: the universal network. Its kernels are used in place and stay frozen; its batch
            norms are copied, scale and offset frozen, so that their statistics become the task's.
        architecture: the paths that exist.
        num_classes: width of the classifier.
        logits: gate logit of each path at the start.

    Returns:
        A functional model from images `[batch, height, width, 3]` to a dictionary of `"logits"`
        `[batch, num_classes]` and `"nodes"`, the list of `x_l` for `l` in `architecture.layers`.

    Raises:
        TailorError: another number of blocks than the universal network has, or a path whose
            source node does not exist.
    """
    graph = universal.graph
    _check(graph, architecture)
    shared, own = UniversalLayers(universal.model), NewLayers()
    images = keras.Input(graph.input_shape, name="images")
    nodes = {0: graph.stem(images, shared)}
    for layer in architecture.layers:
        paths = architecture.into(layer)
        arriving = [
            follow(graph, path, nodes[path.source], shared if path.universal else own)
            for path in paths
        ]
        gate = GatedSum([logits(path) for path in paths], name=keys.gate(layer))
        nodes[layer] = graph.activate(keys.node(layer))(gate(arriving))
    features = graph.head(nodes[graph.num_blocks], own)
    outputs = {
        "logits": classifier(num_classes)(features),
        "nodes": [nodes[layer] for layer in architecture.layers],
    }
    student = keras.Model(images, outputs, name="student")
    weights.assign(
        student,
        weights.variables(universal.model),
        origin="the universal network",
        wanted=lambda key: keys.is_head(key) and not keys.is_classifier(key),
    )
    return student


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
    if graph.num_blocks not in alive:
        raise TailorError("No path leads into the last layer; the classifier has nothing to read.")


def gates(student: keras.Model, architecture: Architecture) -> dict[Path, Any]:
    """The gate of every path of a student as a scalar tensor (eq. 3); differentiable."""
    return {
        path: gate
        for layer in architecture.layers
        for path, gate in zip(
            architecture.into(layer),
            ops.unstack(student.get_layer(keys.gate(layer)).gates(), len(architecture.into(layer))),
            strict=True,
        )
    }


def gate_values(student: keras.Model, architecture: Architecture) -> dict[Path, float]:
    """The gate of every path of a student as a number."""
    return {path: float(gate) for path, gate in gates(student, architecture).items()}


def gate_logits(student: keras.Model, architecture: Architecture) -> dict[Path, float]:
    """The gate logit of every path of a student as a number."""
    return {
        path: float(logit)
        for layer in architecture.layers
        for path, logit in zip(
            architecture.into(layer),
            ops.convert_to_numpy(student.get_layer(keys.gate(layer)).logits),
            strict=True,
        )
    }


def layer_weights(student: keras.Model, layer: int) -> list[keras.Variable]:
    """What is trained in `layer` itself: its proxies and its gates."""
    return [v for v in student.trainable_variables if keys.trained_in(v.path, layer)]


def task_weights(student: keras.Model) -> Mapping[str, keras.Variable]:
    """The weights of a student that belong to its task, by key."""
    return {key: v for key, v in weights.variables(student).items() if keys.is_task(key)}


def prune_student(
    student: keras.Model, universal: Universal, before: Architecture, after: Architecture
) -> keras.Model:
    """Builds the student that is left after pruning, with the weights it had.

    Args:
        student: the student before, unchanged.
        universal: its universal network.
        before: its paths.
        after: the paths to keep.

    Returns:
        A student whose gates are the softmax of the old logits over the surviving paths.
    """
    old: dict[Path, float] = gate_logits(student, before)
    pruned = build_student(
        universal,
        after,
        student.output["logits"].shape[-1],
        logits=old.__getitem__,
    )
    weights.assign(
        pruned,
        weights.variables(student),
        origin="the student",
        wanted=lambda key: keys.is_task(key) and not keys.is_gate(key),
    )
    return pruned
