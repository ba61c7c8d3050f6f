"""What came of a run, from its records alone."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tailor_tf.records.records import Level, Records, standard_error
from tailor_tf.support.errors import TailorError


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The records of a run, as far as it has come.

    Attributes:
        run: task, universal network and what was asked for.
        teacher: the teacher's record.
        student: the record of the student with all its paths; `None` before it is trained.
        pruned: the record after pruning, by level, in the order tried.
        finetuned: the record after fine-tuning what was left, likewise.
        selection: names of the levels tried and chosen; `None` before one is chosen.
    """

    run: dict[str, Any]
    teacher: dict[str, Any]
    student: dict[str, Any] | None
    pruned: dict[Level, dict[str, Any]]
    finetuned: dict[Level, dict[str, Any]]
    selection: dict[str, Any] | None

    @property
    def seconds(self) -> float:
        """Seconds that all phases took, those of levels not chosen included."""
        phases = (self.teacher, self.student, *self.pruned.values(), *self.finetuned.values())
        return sum(record["seconds"] for record in phases if record)

    @property
    def complexity(self) -> str:
        """What complexity counts: one of `costs.COMPLEXITIES`."""
        return self.run["complexity"]

    @property
    def chosen(self) -> Level | None:
        """The level that was taken; `None` before that."""
        return Level.of(self.selection["chosen"]) if self.selection else None

    @property
    def phases(self) -> dict[str, dict[str, Any]]:
        """The networks on the way to the last one, by what a reader calls them."""
        found = {"teacher": self.teacher}
        if self.student:
            found["student"] = self.student
        if self.chosen:
            found |= {"pruned": self.pruned[self.chosen], "fine-tuned": self.finetuned[self.chosen]}
        return found

    @property
    def network_name(self) -> str:
        """What the last network is called: "tailored" where the run is finished."""
        return "tailored" if self.chosen else list(self.phases)[-1]

    @property
    def network(self) -> dict[str, Any]:
        """The record of the tailored network, or of the last one so far."""
        return list(self.phases.values())[-1]

    def dominating(self, level: Level) -> Level | None:
        """A level that is at least as accurate and as lean as another, and better in one."""
        ours = self._standing(self.finetuned[level])
        for other, record in self.finetuned.items():
            theirs = self._standing(record)
            if theirs != ours and all(a >= b for a, b in zip(theirs, ours, strict=True)):
                return other
        return None

    def _standing(self, record: Mapping[str, Any]) -> tuple[float, float]:
        """What is better the larger it is."""
        return record["accuracy"]["validation"], -record["cost"][self.complexity]

    @property
    def search_times(self) -> float:
        """Epochs of all levels tried over those of fine-tuning one."""
        epochs = [len(record["history"]) for record in self.finetuned.values()]
        return sum(epochs) / max(epochs)

    @property
    def standard_error(self) -> float:
        """That of the network's validation accuracy, 0..1."""
        images = self.run["task"]["images"]["validation"]
        return standard_error(self.network["accuracy"]["validation"], images)

    @property
    def split(self) -> str:
        """The split whose confusions are shown: "test", or "validation" without test results."""
        records = (self.network, self.teacher)
        return "test" if all("test" in r["confusion"] for r in records) else "validation"

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the logits."""
        return self.teacher["settings"]["classes"]

    def confusion(self, record: Mapping[str, Any]) -> np.ndarray:
        """How often which class was taken for which on `split`: int64, true class first."""
        counts = np.zeros((len(self.classes),) * 2, np.int64)
        for true, predicted, images in record["confusion"][self.split]:
            counts[true, predicted] = images
        return counts

    def by_class(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images `[classes]` of each class, and accuracies in percent of teacher and network."""
        matrices = [self.confusion(record) for record in (self.teacher, self.network)]
        images = matrices[0].sum(axis=1)
        return images, *(100 * m.diagonal() / np.maximum(images, 1) for m in matrices)

    def confused(self) -> np.ndarray:
        """The network's confusions alone: `confusion` without what is right."""
        counts = self.confusion(self.network)
        return counts - np.diag(counts.diagonal())

    def gone(self, count: str) -> float:
        """Share of its teacher's count of `costs.Cost` that the network is without."""
        return 1 - self.network["cost"][count] / self.teacher["cost"][count]

    def fewer(self, count: str) -> str:
        """How much less than its teacher the network has of a count, in words."""
        share = self.gone(count)
        word = "fewer" if share >= 0 else "more"
        return f"{100 * abs(share):.1f} % {word} {count.replace('_', '-')}"


def _read(records: Records, name: str, phase: str) -> dict[str, Any]:
    record = records.read(name)
    if record is None:
        raise TailorError(
            f"{records.path(name)} does not exist: {phase} has not run to its end in this workdir."
        )
    return record


def load(workdir: str | os.PathLike, *, finished: bool = True) -> Outcome:
    """Reads the record files in `<workdir>/records`.

    Args:
        workdir: the run's working directory.
        finished: whether to refuse a run that has chosen no network yet; otherwise its teacher is
            enough.

    Raises:
        TailorError: a record is missing, or the chosen level is none of those tried.
    """
    records = Records(workdir)
    teacher = _read(records, "teacher", "the teacher phase")
    run = _read(records, "run", "the teacher phase")
    selection = records.read("selection")
    if finished or selection:
        student = _read(records, "student", "the student phase")
        selection = _read(records, "selection", "the selection among the levels")
        levels = [Level.of(name) for name in selection["levels"]]
        if selection["chosen"] not in selection["levels"]:
            raise TailorError(
                f"selection.json chooses level {selection['chosen']}; expected one of "
                f"{selection['levels']}."
            )
        pruned = {n: _read(records, f"pruned_{n.name}", f"pruning with {n}") for n in levels}
        tuned = {n: _read(records, f"finetuned_{n.name}", f"fine-tuning with {n}") for n in levels}
        return Outcome(run, teacher, student, pruned, tuned, selection)
    student = records.read("student")
    return Outcome(
        run, teacher, student, records.levels("pruned"), records.levels("finetuned"), None
    )


def methods(workdir: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """The finished networks of a working directory, by the method that made them.

    Returns:
        Their records, those of `baselines.BASELINES` under their own names, the teacher's as
        "finetune" and the chosen network's as "nettailor", with the seconds of all its phases.

    Raises:
        TailorError: no network is finished, or a record of the tailored one is missing.
    """
    records = Records(workdir)
    names = {"finetune": "teacher", "linear": "linear", "residual_adapters": "residual_adapters"}
    found = {method: records.read(name) for method, name in names.items()}
    if records.path("selection").exists():
        outcome = load(workdir)
        found["nettailor"] = {**outcome.network, "seconds": outcome.seconds}
    finished = {method: record for method, record in found.items() if record}
    if not finished:
        raise TailorError(
            f"{records.folder} holds no record of a finished network; expected a working directory "
            "of pipelines.tailor whose teacher phase, at least, has run to its end."
        )
    return finished
