"""Records of a run, one dataclass each; `as_dict` and `from_dict` convert to JSON values and back.

Accuracies are between 0 and 1.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.cost import Cost
from tailor_tf.records.level import Level
from tailor_tf.support.statistics import paired_error, standard_error


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training.

    Attributes:
        figures: figures by name: means over the steps, such as "loss"; "validation_accuracy" after
            the epoch; "seconds", the duration.
        gates: gates of a student, in the order of its paths.
    """

    figures: Mapping[str, float]
    gates: tuple[float, ...] = ()

    @property
    def validation_accuracy(self) -> float:
        """Accuracy on validation images after the epoch."""
        return self.figures["validation_accuracy"]

    @property
    def seconds(self) -> float:
        """Duration of the epoch, validation included."""
        return self.figures.get("seconds", 0.0)

    def as_dict(self) -> dict[str, Any]:
        """The epoch as JSON values."""
        return {**self.figures, **({"gates": list(self.gates)} if self.gates else {})}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "EpochRecord":
        """The inverse of `as_dict`."""
        figures = {name: value for name, value in data.items() if name != "gates"}
        return cls(figures, tuple(data.get("gates", ())))


@dataclasses.dataclass(frozen=True)
class PhaseRecord:
    """One finished phase: a network with its results.

    Attributes:
        seconds: duration of the training.
        accuracy: accuracy of the network, by split.
        confusion: entries above 0 of the confusion matrix, by split: true class, predicted class,
            number of images.
        cost: cost of the network.
        architecture: paths of a student; `None` for other networks.
        gates: gates of a student, by path.
        settings: all settings that the phase depends on, as JSON values.
        history: the epochs of the training.
        stopped: whether training was stopped early, because the goal was out of reach.
        restored: paths that pruning kept in spite of small gates.
        order: of a student, its universal blocks in the order of their removal; empty if their
            gates say it.
        mistakes: positions of the images that the network classifies wrongly, by split; earlier
            versions did not record them.
        failed: why the training failed, and there is no network; empty if it did not.
    """

    seconds: float
    accuracy: Mapping[str, float]
    confusion: Mapping[str, tuple[tuple[int, int, int], ...]]
    cost: Cost
    architecture: Architecture | None
    gates: Mapping[Path, float]
    settings: Mapping[str, Any]
    history: tuple[EpochRecord, ...] = ()
    stopped: bool = False
    restored: tuple[Path, ...] = ()
    order: tuple[Path, ...] = ()
    mistakes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    failed: str = ""

    @property
    def task_name(self) -> str:
        """Name of the task that the network was trained on."""
        return self.settings["task"]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return tuple(self.settings["classes"])

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the universal network."""
        return self.settings["universal"]

    @property
    def is_whole(self) -> bool:
        """Whether the network was trained to the end."""
        return not (self.stopped or self.failed)

    def difference_error(self, other: "PhaseRecord", *, images: int) -> float:
        """Standard error of the difference to another network's validation accuracy.

        Args:
            other: the record of the other network.
            images: number of validation images.

        Returns:
            The standard error of the paired difference, 0..1; of this network's accuracy alone,
            which is larger, where earlier versions wrote a record.
        """
        split = "validation"
        if split in self.mistakes and split in other.mistakes:
            ours, theirs = set(self.mistakes[split]), set(other.mistakes[split])
            return paired_error(len(ours - theirs), len(theirs - ours), images=images)
        return standard_error(self.accuracy[split], images=images)

    @property
    def curve(self) -> list[float]:
        """Validation accuracy after each epoch."""
        return [epoch.validation_accuracy for epoch in self.history]

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "seconds": self.seconds,
            "accuracy": dict(self.accuracy),
            "confusion": {
                split: [list(entry) for entry in entries]
                for split, entries in self.confusion.items()
            },
            "cost": self.cost.as_dict(),
            "architecture": self.architecture and self.architecture.as_dict(),
            "gates": [[*path.as_list(), gate] for path, gate in self.gates.items()],
            "settings": self.settings,
            "history": [epoch.as_dict() for epoch in self.history],
            "stopped": self.stopped,
            "restored": [path.as_list() for path in self.restored],
            "order": [path.as_list() for path in self.order],
            "mistakes": {split: list(positions) for split, positions in self.mistakes.items()},
            "failed": self.failed,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "PhaseRecord":
        """The inverse of `as_dict`; further entries are ignored."""
        architecture = data["architecture"]
        return cls(
            seconds=data["seconds"],
            accuracy=data["accuracy"],
            confusion={
                split: tuple(tuple(entry) for entry in entries)
                for split, entries in data["confusion"].items()
            },
            cost=Cost.from_dict(data["cost"]),
            architecture=architecture and Architecture.from_dict(architecture),
            gates={Path.from_list(path): gate for *path, gate in data["gates"]},
            settings=data["settings"],
            history=tuple(map(EpochRecord.from_dict, data["history"])),
            stopped=data.get("stopped", False),
            restored=tuple(map(Path.from_list, data.get("restored", ()))),
            order=tuple(map(Path.from_list, data.get("order", ()))),
            mistakes={split: tuple(found) for split, found in data.get("mistakes", {}).items()},
            failed=data.get("failed", ""),
        )


@dataclasses.dataclass(frozen=True)
class TaskSummary:
    """The task of a run: its name, number of classes, and number of images by split."""

    name: str
    num_classes: int
    images: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class UniversalSummary:
    """The universal network of a run.

    Attributes:
        name: name of the backbone.
        num_blocks: `L`.
        node_shapes: height, width and channels of `x_0..x_L`.
        multiply_adds: multiply-adds for one image, with the task's classifier.
        parameters: parameters, with the task's classifier.
    """

    name: str
    num_blocks: int
    node_shapes: tuple[tuple[int, int, int], ...]
    multiply_adds: int
    parameters: int


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """Subject of a run: task, universal network, goals, environment.

    Attributes:
        task: the task.
        universal: the universal network.
        complexity: the count that complexity means in this run, one of `cost.COUNTS`.
        path_complexities: complexity of each path of the full student, in the unit of that count.
        environment: versions of packages, and the machine.
        tolerance: largest loss of validation accuracy, percentage points; `None` if not asked for.
        budget: largest allowed counts of the network, by attribute of `Cost`.
        confidence: probability with which validation images should show that the network is within
            the tolerance; 0 if its accuracy on them is enough, as in earlier versions.
    """

    task: TaskSummary
    universal: UniversalSummary
    complexity: str
    path_complexities: Mapping[Path, float]
    environment: Mapping[str, str]
    tolerance: float | None
    budget: Mapping[str, float]
    confidence: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "task": dataclasses.asdict(self.task),
            "universal": dataclasses.asdict(self.universal),
            "complexity": self.complexity,
            "path_complexities": [
                [*path.as_list(), amount] for path, amount in self.path_complexities.items()
            ],
            "environment": dict(self.environment),
            "tolerance": self.tolerance,
            "budget": dict(self.budget),
            "confidence": self.confidence,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RunRecord":
        """The inverse of `as_dict`; further entries are ignored."""
        universal = dict(data["universal"])
        universal["node_shapes"] = tuple(map(tuple, universal["node_shapes"]))
        return cls(
            task=TaskSummary(**data["task"]),
            universal=UniversalSummary(**universal),
            complexity=data["complexity"],
            path_complexities={
                Path.from_list(path): amount for *path, amount in data["path_complexities"]
            },
            environment=data["environment"],
            tolerance=data["tolerance"],
            budget=data["budget"],
            confidence=data.get("confidence", 0.0),
        )


@dataclasses.dataclass(frozen=True)
class LatencyRecord:
    """Latency of the chosen network for one image, predicted and measured.

    Attributes:
        predicted_ms: predicted from the latencies of its pieces, milliseconds.
        measured_ms: measured on the network as a whole, milliseconds.
        measured_on: processor, runtime, precision and threads.
    """

    predicted_ms: float
    measured_ms: float
    measured_on: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class SelectionRecord:
    """The levels that were tried, and the level that was chosen.

    Attributes:
        levels: the levels tried, in the order tried.
        chosen: the level chosen.
        within_tolerance: whether the chosen network is as accurate as asked for.
        latency: latency of the chosen network; `None` if it was not measured.
        expected_difference: accuracy of the chosen network minus its teacher's, -1..1, that is to
            be expected on other images, see `expectation`; `None` if records of earlier versions
            do not tell.
    """

    levels: tuple[Level, ...]
    chosen: Level
    within_tolerance: bool
    latency: LatencyRecord | None = None
    expected_difference: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "levels": [level.name for level in self.levels],
            "chosen": self.chosen.name,
            "within_tolerance": self.within_tolerance,
            "latency": self.latency and dataclasses.asdict(self.latency),
            "expected_difference": self.expected_difference,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SelectionRecord":
        """The inverse of `as_dict`; further entries are ignored."""
        latency = data["latency"]
        return cls(
            levels=tuple(map(Level.parse, data["levels"])),
            chosen=Level.parse(data["chosen"]),
            within_tolerance=data["within_tolerance"],
            latency=latency and LatencyRecord(**latency),
            expected_difference=data.get("expected_difference"),
        )


@dataclasses.dataclass(frozen=True)
class ExamplesRecord:
    """Example images: one of each class, and mistakes of a network.

    Attributes:
        of: name of the phase whose network made the mistakes.
        split: the split that the images are from.
        classes: the first image of each class: label, and PNG in base64.
        confusions: an image of each of the most frequent confusions: true class, predicted class,
            and PNG in base64.
    """

    of: str
    split: str
    classes: tuple[tuple[int, str], ...]
    confusions: tuple[tuple[int, int, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ExamplesRecord":
        """The inverse of `as_dict`; further entries are ignored."""
        return cls(
            data["of"],
            data["split"],
            tuple(map(tuple, data["classes"])),
            tuple(map(tuple, data["confusions"])),
        )
