"""The student: frozen universal blocks, proxies that skip ahead, and gates (NetTailor, eq. 2-4)."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from tailor_tf.backbones import weights
from tailor_tf.backbones.universal import Universal
from tailor_tf.costs import is_statistic
from tailor_tf.errors import TailorError
from tailor_tf.graph import Architecture, BlockGraph, Path, build_network, proxy
from tailor_tf.layers import GatedSum, NewLayers, UniversalLayers

UNIVERSAL_LOGIT = 2.0  # gate logits at the start
PROXY_LOGIT = -2.0

TEACHER_GRADIENTS = ("local", "end_to_end")


def initial_logit(path: Path) -> float:
    """The gate logit of a path before training."""
    return UNIVERSAL_LOGIT if path.universal else PROXY_LOGIT


def build_teacher(universal: Universal, num_classes: int) -> keras.Model:
    """Builds a trainable copy of a universal network with a new classifier."""
    teacher = build_network(universal.graph, num_classes)
    source = weights.arrays(universal.model)
    weights.assign(teacher, source, origin="the universal network", wanted=weights.is_universal)
    return teacher


class _GatedLayer:
    """Layer `l` of a student: its paths, their gates and the activation."""

    def __init__(self, graph, architecture, layer, logits, universal_layers, proxy_layers):
        self.paths = architecture.into(layer)
        self.graph, self.block = graph, graph.blocks[layer - 1]
        self.universal_layers = universal_layers
        self.proxies = {p: proxy(graph, p, proxy_layers) for p in self.paths if not p.universal}
        self.gate = GatedSum([logits(path) for path in self.paths], name=gate_name(layer))

    def __call__(self, nodes, detached):
        """Returns `x_l`, and `x_l` with gradients for this layer's own weights only."""
        inputs = {
            path: nodes[path.source] if path.universal else proxy.pool(nodes[path.source])
            for path, proxy in ((path, self.proxies.get(path)) for path in self.paths)
        }
        outputs = {
            path: self.block(x, self.universal_layers) if path.universal else self.proxies[path](x)
            for path, x in inputs.items()
        }
        node = self.graph.activate(f"{self.block.name}_output")(self.gate(list(outputs.values())))
        if not detached:
            return node, node
        local = [
            ops.stop_gradient(outputs[path])
            if path.universal
            else self.proxies[path](ops.stop_gradient(x), update=False)
            for path, x in inputs.items()
        ]
        return node, self.graph.activate(f"{self.block.name}_local")(self.gate(local))


def gate_name(layer: int) -> str:
    """Name of the Keras layer that holds the gates of `layer`."""
    return f"block{layer}_gate"


def build_student(
    universal: Universal,
    architecture: Architecture,
    num_classes: int,
    *,
    teacher_gradient: str = "end_to_end",
    logits: Callable[[Path], float] = initial_logit,
) -> keras.Model:
    """Builds a student over a universal network.

    Args:
        universal: the universal network. Its kernels are used in place and stay frozen; its batch
            norms are copied, scale and offset frozen, so that their statistics become the task's.
        architecture: the paths that exist.
        num_classes: width of the classifier.
        teacher_gradient: "end_to_end" lets what is done with `"nodes"` reach all earlier layers;
            with "local" each node is computed from inputs whose gradient is stopped, so that it
            trains its own layer's proxies and gates only. Values are the same.
        logits: gate logit of each path at the start.

    Returns:
        A functional model from images `[batch, height, width, 3]` to a dictionary of `"logits"`
        `[batch, num_classes]` and `"nodes"`, the list of `x_l` for `l` in `architecture.layers`.

    Raises:
        TailorError: an unknown `teacher_gradient`, another number of blocks than the universal
            network has, or a path whose source node does not exist.
    """
    graph = universal.graph
    _check(graph, architecture, teacher_gradient)
    shared, own = UniversalLayers(universal.model), NewLayers()
    images = keras.Input(graph.input_shape, name="images")
    nodes = {0: graph.stem(images, shared)}
    matched = []
    for layer in architecture.layers:
        gated = _GatedLayer(graph, architecture, layer, logits, shared, own)
        nodes[layer], node = gated(nodes, detached=teacher_gradient == "local")
        matched.append(node)
    features = graph.head(nodes[graph.num_blocks], own)
    scores = keras.layers.Dense(num_classes, name="classifier")(features)
    student = keras.Model(images, {"logits": scores, "nodes": matched}, name="student")
    head = {k: v for k, v in weights.arrays(universal.model).items() if k.startswith("head")}
    weights.assign(student, head, origin="the universal network", wanted=head.__contains__)
    return student


def _check(graph: BlockGraph, architecture: Architecture, teacher_gradient: str) -> None:
    if teacher_gradient not in TEACHER_GRADIENTS:
        raise TailorError(
            f"Unknown teacher_gradient {teacher_gradient!r}; known are "
            f"{', '.join(TEACHER_GRADIENTS)}."
        )
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
            ops.unstack(student.get_layer(gate_name(layer)).gates(), len(architecture.into(layer))),
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
            ops.convert_to_numpy(student.get_layer(gate_name(layer)).logits),
            strict=True,
        )
    }


def is_head_weight(key: str) -> bool:
    """Whether a weight belongs to what stands behind the last layer, the classifier included."""
    return key.startswith((weights.CLASSIFIER_PREFIX, "head_"))


def is_task_weight(key: str) -> bool:
    """Whether a student's weight belongs to the task: the rest is the universal network's.

    Task weights are proxies, gates, the head with its classifier, and every batch norm's
    statistics.
    """
    own = is_head_weight(key) or "_proxy" in key
    return own or key.endswith("_gate/logits") or is_statistic(key)


def task_weights(student: keras.Model) -> Mapping[str, keras.Variable]:
    """The weights of a student that belong to its task, by key."""
    return {key: v for key, v in weights.variables(student).items() if is_task_weight(key)}


def prune_student(
    student: keras.Model, universal: Universal, before: Architecture, after: Architecture, **options
) -> keras.Model:
    """Builds the student that is left after pruning, with the weights it had.

    Args:
        student: the student before, unchanged.
        universal: its universal network.
        before: its paths.
        after: the paths to keep.
        **options: passed on to `build_student`.

    Returns:
        A student whose gates are the softmax of the old logits over the surviving paths.
    """
    old: dict[Path, float] = gate_logits(student, before)
    pruned = build_student(
        universal,
        after,
        student.output["logits"].shape[-1],
        logits=old.__getitem__,
        **options,
    )
    weights.assign(
        pruned,
        weights.variables(student),
        origin="the student",
        wanted=lambda key: is_task_weight(key) and not key.endswith("_gate/logits"),
    )
    return pruned
