"""Record of a run's subject, written when the run begins."""

import importlib.metadata
import os
import platform

from tailor_tf.backbones.universal import Universal
from tailor_tf.data.task import Task
from tailor_tf.records.records import RunRecord, TaskSummary, UniversalSummary
from tailor_tf.tailoring.run_costs import RunCosts
from tailor_tf.tailoring.settings import Settings

_PACKAGES = ("tensorflow", "keras", "numpy")


def describe(universal: Universal, task: Task, settings: Settings, costs: RunCosts) -> RunRecord:
    """Makes the record of a run: task, universal network, goals, environment."""
    graph, cost = universal.graph, costs.network()
    nodes = range(graph.num_blocks + 1)
    return RunRecord(
        task=TaskSummary(task.name, task.num_classes, task.image_counts),
        universal=UniversalSummary(
            name=graph.name,
            num_blocks=graph.num_blocks,
            node_shapes=tuple(graph.node_shape(node) for node in nodes),
            multiply_adds=cost.multiply_adds,
            parameters=cost.parameters,
        ),
        complexity=settings.complexity,
        path_complexities=costs.path_complexities(),
        environment=_environment(),
        tolerance=settings.tolerance,
        budget=dict(settings.budget),
        confidence=settings.confidence,
    )


def _environment() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return {"Python": platform.python_version(), **versions, "machine": machine}
