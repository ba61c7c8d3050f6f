"""Costs of the networks over a universal network; `counting` has the conventions."""

import functools
import math
from collections.abc import Callable, Sequence

import keras

from tailor_tf.network.architecture import STATISTICS, Architecture, Path
from tailor_tf.network.cost import Cost
from tailor_tf.network.counting import multiply_adds, parameters, statistics
from tailor_tf.network.factories import CountedLayers
from tailor_tf.network.graph import BlockGraph, Part, add_path
from tailor_tf.network.latencies import Latencies
from tailor_tf.network.own import own_keys
from tailor_tf.support.errors import TailorError


def _task_weights(model: keras.Model, own: str) -> int:
    """Number of weights of a piece of a student that are stored per task."""
    wanted = own_keys(model, own)
    return sum(math.prod(weight.shape) for weight in model.weights if weight.path in wanted)


@functools.cache
def _part_model(part: Part) -> keras.Model:
    x = keras.Input(part.input_shape)
    return keras.Model(x, part(x, CountedLayers()))


@functools.cache
def _proxy_model(graph: BlockGraph, path: Path) -> keras.Model:
    x = keras.Input(graph.node_shape(path.source))
    return keras.Model(x, add_path(graph, path, x, CountedLayers()))


@functools.cache
def _head_model(graph: BlockGraph, depth: int, head_channels: int) -> keras.Model:
    x = keras.Input(graph.node_shape(depth))
    return keras.Model(x, graph.read_out(x, depth, CountedLayers(), head_channels))


def _path_model(graph: BlockGraph, path: Path) -> keras.Model:
    return (
        _part_model(graph.blocks[path.target - 1]) if path.universal else _proxy_model(graph, path)
    )


def path_multiply_adds(graph: BlockGraph, path: Path) -> int:
    """Multiply-adds of a path into a layer for one image, its gate included."""
    return _of_path(graph, path, "multiply_adds")


# By complexity: count of a model with some weights of the task's own, and count of the gate of a
# path from the shape of its output.
_RULES: dict[str, tuple[Callable[[keras.Model, str], int], Callable[[Sequence[int]], int]]] = {
    "multiply_adds": (lambda model, own: multiply_adds(model), math.prod),
    "parameters": (lambda model, own: parameters(model), lambda shape: 1),
    "task_parameters": (_task_weights, lambda shape: 1),
}


def _of_path(graph: BlockGraph, path: Path, count: str, own: str = STATISTICS) -> int:
    of_model, of_gate = _RULES[count]
    weighted = 0 if path.identity else of_model(_path_model(graph, path), own)
    return weighted + of_gate(graph.node_shape(path.target))


def universal_complexity(
    graph: BlockGraph,
    count: str = "multiply_adds",
    latencies: Latencies | None = None,
    own: str = STATISTICS,
) -> float:
    """Complexity of the stem and the blocks together, the unit of `E[C]`.

    Args:
        graph: the universal network's description.
        count: one of `cost.COUNTS`.
        latencies: the measured latencies, required for "latency_ms".
        own: the weights of universal blocks that belong to the task, one of `architecture.OWN`;
            only "task_parameters" depends on them.

    Returns:
        Multiply-adds for one image, weights, or milliseconds for one image.

    Raises:
        TailorError: `count` is "latency_ms" and there are no latencies.
    """
    if count == "latency_ms":
        return _known(latencies).universal
    of_model, _ = _RULES[count]
    return sum(of_model(_part_model(part), own) for part in (graph.stem, *graph.blocks))


def path_complexities(
    graph: BlockGraph,
    architecture: Architecture,
    count: str = "multiply_adds",
    latencies: Latencies | None = None,
) -> dict[Path, float]:
    """Complexity of each path, its gate included.

    Args:
        graph: the universal network's description.
        architecture: the paths.
        count: one of `cost.COUNTS`.
        latencies: the measured latencies, required for "latency_ms".

    Returns:
        Multiply-adds for one image, weights, or milliseconds for one image, by path.

    Raises:
        TailorError: `count` is "latency_ms" and there are no latencies.
    """
    if count == "latency_ms":
        return {path: _known(latencies).path(path) for path in architecture.paths}
    own = architecture.own
    return {path: _of_path(graph, path, count, own) for path in architecture.paths}


def path_shares(
    graph: BlockGraph,
    architecture: Architecture,
    count: str = "multiply_adds",
    latencies: Latencies | None = None,
) -> dict[Path, float]:
    """Complexity of each path, divided by the universal network's: `C` of eq. 5.

    Arguments and errors are those of `path_complexities`.
    """
    total = universal_complexity(graph, count, latencies, architecture.own)
    complexities = path_complexities(graph, architecture, count, latencies)
    return {path: complexity / total for path, complexity in complexities.items()}


def _known(latencies: Latencies | None) -> Latencies:
    if latencies is None:
        raise TailorError(
            "Latency is asked for and none was measured; see export.meter.Meter, which "
            "pipelines.tailor uses."
        )
    return latencies


def network_cost(
    graph: BlockGraph,
    num_classes: int,
    latencies: Latencies | None = None,
    *,
    depth: int | None = None,
    head_channels: int = 0,
) -> Cost:
    """Cost of a network of `graph` with a classifier, all weights its own, such as a teacher.

    Args:
        graph: the universal network's description.
        num_classes: number of classes.
        latencies: the measured latencies, for "latency_ms".
        depth: the node that the classifier reads; blocks after it are left out. `L` by default.
        head_channels: channels of the task's own head, see `BlockGraph.read_out`; 0 for none.
    """
    depth = graph.num_blocks if depth is None else depth
    head = _head_model(graph, depth, head_channels)
    classifier = head.output.shape[-1] * num_classes
    parts = [*map(_part_model, (graph.stem, *graph.blocks[:depth])), head]
    total = sum(parameters(part) for part in parts) + classifier + num_classes
    return Cost(
        multiply_adds=sum(multiply_adds(part) for part in parts) + classifier,
        parameters=total,
        task_parameters=total + sum(statistics(part) for part in parts),
        universal_blocks=depth,
        proxies=0,
        latency_ms=latencies and latencies.whole(depth, head_channels),
    )


def baseline_cost(model: keras.Model, num_blocks: int) -> Cost:
    """Cost of a baseline: a network that runs all blocks over frozen universal kernels."""
    own = sum(math.prod(v.shape) for v in model.trainable_variables)
    return Cost(
        multiply_adds=multiply_adds(model),
        parameters=parameters(model),
        task_parameters=own + statistics(model),
        universal_blocks=num_blocks,
        proxies=0,
    )


def smallest(
    graph: BlockGraph,
    architecture: Architecture,
    num_classes: int,
    count: str,
    latencies: Latencies | None = None,
) -> float:
    """Smallest cost of any chain of paths from the stem to the last layer of a student.

    Args:
        graph: the universal network's description.
        architecture: the student's paths.
        num_classes: number of classes.
        count: the count to minimise, an attribute of `Cost`.
        latencies: the measured latencies, required for "latency_ms".
    """

    def of(*paths: Path) -> float:
        alone = architecture.with_paths(paths)
        return student_cost(graph, alone, num_classes, latencies)[count]

    least = {0: of()}
    for path in architecture.paths:  # layer by layer, so sources come before their targets
        total = least[path.source] + of(path) - of()
        least[path.target] = min(total, least.get(path.target, total))
    return least[architecture.depth]


def student_cost(
    graph: BlockGraph,
    architecture: Architecture,
    num_classes: int,
    latencies: Latencies | None = None,
) -> Cost:
    """Cost of a student that runs all paths of `architecture`."""
    head = _head_model(graph, architecture.depth, architecture.head_channels)
    classifier = head.output.shape[-1] * num_classes
    stem = _part_model(graph.stem)
    blocks = [_path_model(graph, path) for path in architecture.paths if path.universal]
    proxies = [_path_model(graph, path) for path in architecture.proxies]
    task = classifier + num_classes + len(architecture.paths)
    task += sum(_task_weights(part, architecture.own) for part in (stem, *blocks, *proxies))
    task += _task_weights(head, STATISTICS)
    return Cost(
        multiply_adds=sum(multiply_adds(part) for part in (stem, head))
        + sum(path_multiply_adds(graph, path) for path in architecture.paths)
        + classifier,
        parameters=sum(parameters(part) for part in (stem, *blocks, *proxies, head))
        + len(architecture.paths)
        + classifier
        + num_classes,
        task_parameters=task,
        universal_blocks=len(blocks),
        proxies=len(proxies),
        latency_ms=latencies and latencies.student(architecture),
    )
