"""What a run's phases depend on, and what a run says of itself in its records."""

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from typing import Any

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.data import Task
from tailor_tf.network.architecture import Path
from tailor_tf.network.costs import Cost
from tailor_tf.tailoring.settings import Settings


@dataclasses.dataclass(frozen=True, eq=False)
class PhaseSettings:
    """Everything that the result of each phase depends on, JSON-able.

    A record or a checkpoint that was made with anything else is refused.

    Attributes:
        universal: the universal network.
        task: the images.
        settings: those of the run.
        complexity_target: E[C] that the student is driven to; `None` for a fixed weight.
        measured_on: what measured latencies hold for; `None` where none are.
    """

    universal: Universal
    task: Task
    settings: Settings
    complexity_target: float | None = None
    measured_on: Mapping[str, str] | None = None

    def _common(self) -> dict[str, Any]:
        return {
            **self.task.settings(),
            "universal": self.universal.fingerprint,
            "seed": self.settings.seed,
            "precision": keras.config.dtype_policy().name,
        }

    def teacher(self) -> dict[str, Any]:
        """Of the teacher."""
        return {**self._common(), "teacher": dataclasses.asdict(self.settings.teacher)}

    def baseline(self) -> dict[str, Any]:
        """Of a network to compare with."""
        return {**self._common(), "baseline": dataclasses.asdict(self.settings.baseline)}

    def student(self) -> dict[str, Any]:
        """Of the student with all paths."""
        names = ("max_skip", "teacher_weight", "teacher_gradient", "estimator", "complexity")
        further = {}
        if self.complexity_target is not None:
            further["complexity_target"] = self.complexity_target
        if self.settings.needs_latency:
            further["latency"] = dict(self.measured_on)
        return {
            **self.teacher(),
            **{name: getattr(self.settings, name) for name in names},
            "complexity_weight": self.settings.complexity_weight,
            **further,
            "student": dataclasses.asdict(self.settings.student),
        }

    def pruning(self) -> dict[str, Any]:
        """Of a pruned student."""
        return {**self.student(), "proxy_threshold": self.settings.proxy_threshold}

    def finetuning(self) -> dict[str, Any]:
        """Of a pruned student that was fine-tuned."""
        return {**self.pruning(), "finetune": dataclasses.asdict(self.settings.finetune)}


def describe(
    universal: Universal,
    task: Task,
    settings: Settings,
    cost: Cost,
    complexities: Mapping[Path, float],
) -> dict[str, Any]:
    """What a run says of itself: task, universal network, what was asked for, environment.

    Args:
        universal: the universal network.
        task: the images.
        settings: those of the run.
        cost: of the universal network with the task's classifier.
        complexities: of every path, in the unit of `settings.complexity`.
    """
    graph = universal.graph
    return {
        "task": {
            "name": task.name,
            "num_classes": task.num_classes,
            "images": task.image_counts,
        },
        "universal": {
            "name": graph.name,
            "num_blocks": graph.num_blocks,
            "node_shapes": [graph.node_shape(n) for n in range(graph.num_blocks + 1)],
            "multiply_adds": cost.multiply_adds,
            "parameters": cost.parameters,
        },
        "complexity": settings.complexity,
        "path_complexities": [[*path.as_list(), amount] for path, amount in complexities.items()],
        "environment": _environment(),
        "tolerance": settings.tolerance,
        "budget": dict(settings.budget),
    }


def _environment() -> dict[str, str]:
    packages = ("tensorflow", "keras", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return {"Python": platform.python_version(), **versions, "machine": machine}
