"""Records of a small run, made by hand: a network of four blocks, three classes, three levels."""

import dataclasses
import pathlib
from typing import Any

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.cost import Cost
from tailor_tf.records import phase as phases
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import (
    EpochRecord,
    ExamplesRecord,
    PhaseRecord,
    RunRecord,
    SelectionRecord,
    TaskSummary,
    UniversalSummary,
)
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report.outcome import Outcome

FULL = Architecture.full(4, max_skip=2)

# stem -> 1 -> 2 -> proxy -> 4 -> classifier, and a proxy from the stem into layer 2
KEPT = Architecture(
    4, (Path.block(1), Path.block(2), Path.proxy(2, source=0), Path.proxy(4, source=2))
)
GATES = {
    Path.block(1): 1.0,
    Path.block(2): 0.7,
    Path.proxy(2, source=0): 0.3,
    Path.proxy(4, source=2): 1.0,
}

# true class, predicted class, images: class 2 has none
CONFUSION = ((0, 0, 6), (0, 1, 2), (1, 1, 1), (1, 0, 3))

EPOCHS = (
    EpochRecord({"loss": 1.5, "accuracy": 0.5, "validation_accuracy": 0.6}),
    EpochRecord({"loss": 0.5, "accuracy": 0.9, "validation_accuracy": 0.9}),
)

# A PNG image of one pixel, in base64.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)

CHOSEN = Level(2)


def cost(multiply_adds: int, parameters: int, task_parameters: int, **more: Any) -> Cost:
    """A cost; of the universal network of four blocks, if nothing else is said."""
    return Cost(
        **{
            "multiply_adds": multiply_adds,
            "parameters": parameters,
            "task_parameters": task_parameters,
            "universal_blocks": 4,
            "proxies": 0,
            **more,
        }
    )


def phase_record(accuracy: dict[str, float], network_cost: Cost, **more: Any) -> PhaseRecord:
    """The record of a network without gates, if nothing else is said."""
    return PhaseRecord(
        **{
            "seconds": 1234.4,
            "accuracy": accuracy,
            "confusion": dict.fromkeys(accuracy, CONFUSION),
            "cost": network_cost,
            "architecture": None,
            "gates": {},
            "settings": {"task": "digits", "universal": "f0", "classes": ["one", "two", "six"]},
            "history": EPOCHS,
            **more,
        }
    )


@dataclasses.dataclass
class Made:
    """The records of a run, which a test changes before they are written.

    Attributes:
        run: the run's record.
        phases: the record of each phase.
        selection: the selection; `None` of an unfinished run.
        examples: images to look at.
    """

    run: RunRecord
    phases: dict[Phase, PhaseRecord]
    selection: SelectionRecord | None
    examples: ExamplesRecord | None = None

    def change_run(self, **fields: Any) -> None:
        """Replaces fields of the run's record."""
        self.run = dataclasses.replace(self.run, **fields)

    def change_task(self, name: str) -> None:
        """Gives the task another name."""
        self.change_run(task=dataclasses.replace(self.run.task, name=name))
        self.change_settings(task=name)

    def change_selection(self, **fields: Any) -> None:
        """Replaces fields of the selection."""
        self.selection = dataclasses.replace(self.selection, **fields)

    def change(self, phase: Phase, **fields: Any) -> None:
        """Replaces fields of a phase's record."""
        self.phases[phase] = dataclasses.replace(self.phases[phase], **fields)

    def change_cost(self, phase: Phase, **counts: Any) -> None:
        """Replaces counts of a phase's cost."""
        self.change(phase, cost=dataclasses.replace(self.phases[phase].cost, **counts))

    def change_settings(self, **settings: Any) -> None:
        """Replaces settings of all phases."""
        for phase, record in self.phases.items():
            self.change(phase, settings={**record.settings, **settings})

    def keep(self, *kept: Phase) -> None:
        """Leaves out the other phases and the selection, as of an unfinished run."""
        self.phases = {phase: self.phases[phase] for phase in kept}
        self.selection = None

    def train_together(self) -> None:
        """Makes it a run whose levels were trained together; 4 and 0 were judged only."""
        settings = {"sandwich": {"epochs": 2}}
        of_student = self.phases[phases.STUDENT]
        self.phases[phases.SANDWICH] = dataclasses.replace(of_student, seconds=100.0)
        judged = self.phases[phases.pruned(CHOSEN)]
        for blocks in range(5):
            network_cost = dataclasses.replace(judged.cost, multiply_adds=600_000 - 10_000 * blocks)
            self.phases[phases.pruned(Level(blocks))] = dataclasses.replace(
                judged,
                accuracy={"validation": 0.95 - 0.01 * blocks},
                cost=network_cost,
                settings={**judged.settings, **settings},
            )

    def write(self, path: pathlib.Path) -> pathlib.Path:
        """Writes the records into a working directory, and returns it."""
        records = Records(Workdir(path))
        for record in filter(None, (self.run, self.selection, self.examples)):
            records.write(record)
        for phase, record in self.phases.items():
            records.write_phase(phase, record)
        return path

    def outcome(self) -> Outcome:
        """The outcome of these records, without any file."""
        levels = {"pruned": {}, "finetuned": {}}
        for phase, record in self.phases.items():
            if phase.kind in levels:
                levels[phase.kind][phase.level] = record
        student = self.phases.get(phases.STUDENT)
        teacher = self.phases[phases.TEACHER]
        truncated = {p.depth: r for p, r in self.phases.items() if p.kind == phases.TRUNCATE}
        sandwich = self.phases.get(phases.SANDWICH)
        judged = levels["pruned"] if sandwich else {}
        return Outcome(
            self.run,
            teacher,
            student,
            **levels,
            selection=self.selection,
            truncated=truncated,
            sandwich=sandwich,
            judged={level: judged[level] for level in sorted(judged, key=lambda x: x.leanness)},
        )


def run_record() -> RunRecord:
    """The record of a run on three classes of digits, with a tolerance of half a point."""
    shapes = ((8, 8, 4), (8, 8, 4), (4, 4, 8), (4, 4, 8), (2, 2, 16))
    return RunRecord(
        task=TaskSummary("digits", 10, {"train": 1200, "validation": 240, "test": 357}),
        universal=UniversalSummary("tiny", 4, shapes, multiply_adds=1_000_000, parameters=51_000),
        complexity="multiply_adds",
        path_complexities={Path.block(4): 250_000, Path.block(2): 125_000},
        environment={"Python": "3.11.7"},
        tolerance=0.5,
        budget={},
    )


def finished() -> Made:
    """A finished run: levels 3, 2 and 1 were tried in this order, and 2 was chosen."""
    levels = (Level(3), CHOSEN, Level(1))
    made = {phases.TEACHER: _teacher(), phases.STUDENT: _student()}
    for level in levels:
        network_cost = cost(
            600_000 - 10_000 * level.blocks, 30_600, 2_340, universal_blocks=2, proxies=2
        )
        paths = {"architecture": KEPT, "gates": GATES}
        pruned = phase_record({"validation": 0.5}, network_cost, **paths, history=())
        restored = (Path.proxy(4, source=2),)
        made[phases.pruned(level)] = dataclasses.replace(pruned, restored=restored)
        accuracy = {"validation": 0.9 + 0.01 * (3 - level.blocks)}
        if level == CHOSEN:
            accuracy = {"validation": 0.9675, "test": 0.9625}
        made[phases.finetuned(level)] = phase_record(accuracy, network_cost, **paths)
    return Made(run_record(), made, SelectionRecord(levels, CHOSEN, within_tolerance=True))


def _teacher() -> PhaseRecord:
    return phase_record({"validation": 0.97, "test": 0.96}, cost(1_000_000, 51_000, 51_500))


def _student() -> PhaseRecord:
    """All paths; the gates of an epoch are all the same: 0.25 after the first, then 0.75."""
    gates = ((gate,) * len(FULL.paths) for gate in (0.25, 0.75))
    return phase_record(
        {"validation": 0.975},
        cost(1_100_000, 60_000, 12_300, proxies=len(FULL.proxies)),
        architecture=FULL,
        gates=dict.fromkeys(FULL.paths, 0.5),
        history=tuple(EpochRecord(e.figures, g) for e, g in zip(EPOCHS, gates, strict=True)),
    )


def row(text: str, first: str) -> list[str]:
    """The cells of the row of a Markdown table that begins with a cell."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} "))
    return [cell.strip() for cell in line.strip("|").split("|")]
