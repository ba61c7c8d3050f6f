"""Results of a run, read from its records."""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from tailor_tf.records import phase as phases
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import PhaseRecord, RunRecord, SelectionRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError
from tailor_tf.support.statistics import errors_allowed
from tailor_tf.support.text import printable

_Record = TypeVar("_Record")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The records of a run, as far as the run has come.

    Attributes:
        run: task, universal network and goals.
        teacher: the teacher's record.
        student: the record of the student with all its paths; `None` before it is trained.
        pruned: the records after pruning, by level, in the order tried.
        finetuned: the records after fine-tuning the pruned networks, likewise; without the levels
            whose fine-tuning failed.
        selection: the levels tried and the level chosen; `None` before one is chosen.
        truncated: the records of truncated networks to compare with, by their number of blocks.
        failed: the records of the levels whose fine-tuning failed.
        sandwich: the record of the training of all levels together; `None` without one.
        judged: the records of all levels after that training, from the largest network to the
            leanest; empty without one.
    """

    run: RunRecord
    teacher: PhaseRecord
    student: PhaseRecord | None
    pruned: dict[Level, PhaseRecord]
    finetuned: dict[Level, PhaseRecord]
    selection: SelectionRecord | None
    truncated: dict[int, PhaseRecord] = dataclasses.field(default_factory=dict)
    failed: dict[Level, PhaseRecord] = dataclasses.field(default_factory=dict)
    sandwich: PhaseRecord | None = None
    judged: dict[Level, PhaseRecord] = dataclasses.field(default_factory=dict)

    @property
    def task(self) -> str:
        """Name of the task, printable."""
        return printable(self.run.task.name)

    @property
    def title(self) -> str:
        """Task and universal network, as headings name a run."""
        return f"{self.task} on {printable(self.run.universal.name)}"

    @property
    def seconds(self) -> float:
        """Duration of all phases together, levels that were not chosen included."""
        levels = (*self.pruned.values(), *self.finetuned.values())
        records = (self.teacher, self.student, self.sandwich, *levels)
        return sum(record.seconds for record in records if record)

    @property
    def complexity(self) -> str:
        """The count that complexity means in this run, one of `cost.COUNTS`."""
        return self.run.complexity

    @property
    def chosen(self) -> Level | None:
        """The level that was chosen; `None` before that."""
        return self.selection.chosen if self.selection else None

    @property
    def phases(self) -> dict[str, PhaseRecord]:
        """The networks on the way to the last one, by their names in tables."""
        found = {"teacher": self.teacher}
        if self.student:
            found["student"] = self.student
        if self.sandwich:
            found["sandwich"] = self.sandwich
        if self.chosen:
            found |= {"pruned": self.pruned[self.chosen], "fine-tuned": self.finetuned[self.chosen]}
        return found

    @property
    def network_name(self) -> str:
        """Name of the last network: "tailored" where the run is finished."""
        return "tailored" if self.chosen else list(self.phases)[-1]

    @property
    def network(self) -> PhaseRecord:
        """The record of the tailored network, or of the last network so far."""
        return list(self.phases.values())[-1]

    def dominating(self, level: Level) -> Level | None:
        """The first level that is at least as accurate and as lean as another, and better in one.

        Args:
            level: the other one; its fine-tuning is finished.
        """
        ours = self._standing(self.finetuned[level])
        for other, record in self.finetuned.items():
            theirs = self._standing(record)
            if theirs != ours and all(a >= b for a, b in zip(theirs, ours, strict=True)):
                return other
        return None

    def _standing(self, record: PhaseRecord) -> tuple[float, float]:
        """Accuracy and negative complexity: in both, better networks have greater values."""
        return record.accuracy["validation"], -record.cost[self.complexity]

    @property
    def search_times(self) -> float:
        """Epochs of all levels tried, divided by the epochs of the longest fine-tuning."""
        epochs = [len(record.history) for record in self.finetuned.values()]
        return sum(epochs) / max(epochs)

    def difference_error(self, record: PhaseRecord) -> float:
        """Standard error of a network's validation accuracy against the teacher's, 0..1."""
        return record.difference_error(self.teacher, images=self.run.task.images["validation"])

    @property
    def images_to_decide(self) -> float | None:
        """Validation images that would show that the network is within the tolerance.

        This is how many it would take if the networks differed on as large a part of them; infinite
        if the difference is the tolerance. `None` if the images there are show it already, if the
        network is not within the tolerance, or if none was asked for.
        """
        if self.run.tolerance is None or not self.selection.within_tolerance:
            return None
        accuracies = (record.accuracy["validation"] for record in (self.teacher, self.network))
        reserve = round(self.run.tolerance / 100 - float(np.subtract(*accuracies)), 9)
        needed = errors_allowed(self.run.confidence) * self.difference_error(self.network)
        if needed <= reserve:
            return None
        images = self.run.task.images["validation"]
        return images * (needed / reserve) ** 2 if reserve > 0 else math.inf

    @property
    def split(self) -> str:
        """The split whose confusions are shown: "test", or "validation" without test results."""
        records = (self.network, self.teacher)
        return "test" if all("test" in record.confusion for record in records) else "validation"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, printable, in the order of the logits."""
        return tuple(map(printable, self.teacher.classes))

    def confusion(self, record: PhaseRecord) -> np.ndarray:
        """Confusion matrix of a network on `split`.

        Returns:
            Numbers of images, `[true class, predicted class]`, int64.
        """
        counts = np.zeros((len(self.classes),) * 2, np.int64)
        for true, predicted, images in record.confusion[self.split]:
            counts[true, predicted] = images
        return counts

    def by_class(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images of each class on `split`, and accuracies of teacher and last network on them.

        Returns:
            Number of images, teacher's and network's accuracy in percent, `[classes]` each.
        """
        matrices = [self.confusion(record) for record in (self.teacher, self.network)]
        images = matrices[0].sum(axis=1)
        return images, *(100 * m.diagonal() / np.maximum(images, 1) for m in matrices)

    def confused(self) -> np.ndarray:
        """The mistakes of the last network: its `confusion` with zeros on the diagonal."""
        counts = self.confusion(self.network)
        return counts - np.diag(counts.diagonal())

    def whole(self, count: str) -> int:
        """A count of the whole universal network with the task's classifier.

        The teacher may end before it.

        Args:
            count: "multiply_adds" or "parameters".
        """
        return getattr(self.run.universal, count)

    def gone(self, count: str) -> float:
        """Share of the whole universal network's cost that the last network does not have.

        Args:
            count: "multiply_adds" or "parameters".

        Returns:
            1 if nothing is left; negative if the network has more than the universal one.
        """
        return 1 - self.network.cost[count] / self.whole(count)

    def fewer(self, count: str) -> str:
        """`gone` in words, such as "42.0 % fewer multiply-adds"."""
        share = self.gone(count)
        word = "fewer" if share >= 0 else "more"
        return f"{100 * abs(share):.1f} % {word} {count.replace('_', '-')}"


@contextlib.contextmanager
def explaining(*workdirs: object) -> Iterator[None]:
    """Context manager: what goes wrong while records are shown is said in one message.

    The values in a record that somebody else wrote may be of any kind, and may contradict those in
    other records.

    Args:
        *workdirs: the working directories, for the message.

    Raises:
        TailorError: an error of the block.
    """
    try:
        yield
    except TailorError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise TailorError(
            f"The records of {', '.join(map(str, workdirs))} cannot be shown "
            f"({type(error).__name__}: {error}): one holds another value than a run writes. Remove "
            "the record that was changed, and run the same command of pipelines.tailor again."
        ) from error


def _existing(record: _Record | None, path: pathlib.Path, phase: str) -> _Record:
    if record is None:
        raise TailorError(f"{path} does not exist: {phase} has not run to its end in this workdir.")
    return record


def _read(records: Records, kind: type[_Record], phase: str) -> _Record:
    return _existing(records.read(kind), records.path(kind), phase)


def _read_phase(records: Records, phase: Phase, words: str) -> PhaseRecord:
    return _existing(records.read_phase(phase), records.phase_path(phase), words)


def load(workdir: Workdir, *, finished: bool = True) -> Outcome:
    """Reads the records of a run.

    Args:
        workdir: the run's working directory.
        finished: whether to refuse a run that has chosen no network yet; otherwise its teacher is
            enough.

    Raises:
        TailorError: a record is missing, damaged or of another layout, or the chosen level is none
            of those tried.
    """
    workdir.check()
    records = Records(workdir)
    teacher = _read_phase(records, phases.TEACHER, "the teacher phase")
    run = _read(records, RunRecord, "the teacher phase")
    if finished or records.read(SelectionRecord):
        return _load_finished(records, run, teacher)
    student = records.read_phase(phases.STUDENT)
    tuned, failed = _parted(records.levels("finetuned"))
    pruned, truncated = records.levels("pruned"), records.truncated()
    together = _together(records)
    return Outcome(run, teacher, student, pruned, tuned, None, truncated, failed, *together)


def _load_finished(records: Records, run: RunRecord, teacher: PhaseRecord) -> Outcome:
    student = _read_phase(records, phases.STUDENT, "the student phase")
    selection = _read(records, SelectionRecord, "the selection among the levels")
    _check_chosen(selection)
    pruned, tuned = {}, {}
    for level in selection.levels:
        pruned[level] = _read_phase(records, phases.pruned(level), f"pruning with {level}")
    for level in selection.levels:
        tuned[level] = _read_phase(records, phases.finetuned(level), f"fine-tuning with {level}")
    tuned, failed = _parted(tuned)
    truncated, together = records.truncated(), _together(records)
    return Outcome(run, teacher, student, pruned, tuned, selection, truncated, failed, *together)


def _together(records: Records) -> tuple[PhaseRecord | None, dict[Level, PhaseRecord]]:
    """The record of the training of all levels together, and those of the levels after it."""
    sandwich = records.read_phase(phases.SANDWICH)
    judged = records.levels("pruned") if sandwich else {}
    return sandwich, {level: r for level, r in judged.items() if "sandwich" in r.settings}


def _parted(
    tuned: dict[Level, PhaseRecord],
) -> tuple[dict[Level, PhaseRecord], dict[Level, PhaseRecord]]:
    """The levels that were fine-tuned, and those whose fine-tuning failed."""
    failed = {level: record for level, record in tuned.items() if record.failed}
    return {level: record for level, record in tuned.items() if level not in failed}, failed


def _check_chosen(selection: SelectionRecord) -> None:
    if selection.chosen not in selection.levels:
        raise TailorError(
            f"selection.json chooses level {selection.chosen.name}; expected one of "
            f"{[level.name for level in selection.levels]}."
        )


def methods(workdir: Workdir) -> dict[str, PhaseRecord]:
    """The finished networks of a working directory, by the method that made them.

    Returns:
        Records: the teacher's as "finetune", the baselines' under their own names, in the order of
        the names, and the chosen network's as "nettailor", with the seconds of all its phases.

    Raises:
        TailorError: no network is finished, or a record of the tailored one is missing.
    """
    records = Records(workdir)
    teacher = records.read_phase(phases.TEACHER)
    found = {"finetune": teacher} if teacher else {}
    found |= records.baselines()
    if records.path(SelectionRecord).exists():
        outcome = load(workdir)
        found["nettailor"] = dataclasses.replace(outcome.network, seconds=outcome.seconds)
    if not found:
        raise TailorError(
            f"{workdir.records} holds no record of a finished network; expected a working "
            "directory of pipelines.tailor whose teacher phase, at least, has run to its end."
        )
    return found
