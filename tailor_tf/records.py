"""Records of a run: one JSON file per phase, the only thing that reports are made from."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tailor_tf.errors import TailorError
from tailor_tf.files import write_text


class SettingsChangedError(TailorError):
    """A working directory that was made with other settings."""


def check_same_settings(
    path: str | os.PathLike, old: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Refuses to go on from a file that was made with other settings.

    Raises:
        SettingsChangedError: names the settings that differ, with both values.
    """
    before, now = _flat(old), _flat(json.loads(json.dumps(settings)))
    changed = [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise SettingsChangedError(
            f"{os.fspath(path)} was made with other settings: {'; '.join(changed)}. Use another "
            "working directory, or begin anew in this one (pipelines.tailor: --redo=PHASE)."
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name, such as `teacher.epochs`."""
    flat = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat


class Level(NamedTuple):
    """How much pruning removes from a student.

    Attributes:
        blocks: universal blocks to remove, those with the smallest gates.
        proxies: proxies to keep, those with the largest gates; `None` for all above the threshold.
    """

    blocks: int
    proxies: int | None = None

    @property
    def name(self) -> str:
        """What records call it: "6", or "6_8" where 8 proxies are kept."""
        return f"{self.blocks}" if self.proxies is None else f"{self.blocks}_{self.proxies}"

    @classmethod
    def of(cls, name: str) -> "Level":
        """The inverse of `name`."""
        return cls(*map(int, str(name).split("_")))

    def __str__(self) -> str:
        blocks = f"{self.blocks} universal block{'' if self.blocks == 1 else 's'} to remove"
        return blocks if self.proxies is None else f"{blocks}, {self.proxies} proxies to keep"


def standard_error(accuracy: float, images: int) -> float:
    """How far an accuracy that was measured on so many images usually is from the true one, 0..1.

    The standard deviation of a binomial share, of an accuracy moved off 0 and 1 by one image.
    """
    share = (accuracy * images + 1) / (images + 2)
    return math.sqrt(share * (1 - share) / images)


class Records:
    """The records of one working directory.

    Args:
        workdir: the run's working directory; records lie in its `records` folder.
    """

    def __init__(self, workdir: str | os.PathLike):
        self.folder = pathlib.Path(workdir) / "records"

    def path(self, name: str) -> pathlib.Path:
        """Where the record `name` lies, such as `teacher` or `finetuned_6`."""
        return self.folder / f"{name}.json"

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Writes a record in one piece."""
        write_text(self.path(name), json.dumps(record, indent=1) + "\n")

    def read(self, name: str) -> dict[str, Any] | None:
        """Reads a record; `None` if there is none."""
        path = self.path(name)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def read_if_same(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """Reads a record that was made with the same settings; `None` if there is none.

        Raises:
            SettingsChangedError: names the settings that differ, with both values.
        """
        record = self.read(name)
        if record is None:
            return None
        check_same_settings(self.path(name), record["settings"], settings)
        return record


@dataclasses.dataclass(frozen=True)
class Report:
    """The records of a finished run.

    Attributes:
        run: task, universal network, tolerance in points, names of the levels tried and chosen.
        teacher: the teacher's record.
        student: the record of the student with all its paths.
        pruned: the record after pruning, by level, in the order tried.
        finetuned: the record after fine-tuning what was left, likewise.
    """

    run: dict[str, Any]
    teacher: dict[str, Any]
    student: dict[str, Any]
    pruned: dict[Level, dict[str, Any]]
    finetuned: dict[Level, dict[str, Any]]

    @property
    def seconds(self) -> float:
        """Seconds that all phases took, those of levels not chosen included."""
        levels = (*self.pruned.values(), *self.finetuned.values())
        return sum(record["seconds"] for record in (self.teacher, self.student, *levels))

    @property
    def chosen(self) -> Level:
        """The level that was taken."""
        return Level.of(self.run["chosen"])

    @property
    def tailored(self) -> dict[str, Any]:
        """The record of the chosen network."""
        return self.finetuned[self.chosen]

    def dominating(self, level: Level) -> Level | None:
        """A level that is at least as accurate and as lean as another, and better in one."""
        ours = _standing(self.finetuned[level])
        for other, record in self.finetuned.items():
            theirs = _standing(record)
            if theirs != ours and all(a >= b for a, b in zip(theirs, ours, strict=True)):
                return other
        return None

    @property
    def standard_error(self) -> float:
        """That of the chosen network's validation accuracy, 0..1."""
        images = self.run["task"]["images"]["validation"]
        return standard_error(self.tailored["accuracy"]["validation"], images)

    @property
    def split(self) -> str:
        """The split whose confusions are shown: "test", or "validation" without test labels."""
        return "test" if "test" in self.tailored["confusion"] else "validation"

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
        """Images `[classes]` of each class, and accuracies in percent of teacher and tailored."""
        matrices = [self.confusion(record) for record in (self.teacher, self.tailored)]
        images = matrices[0].sum(axis=1)
        return images, *(100 * m.diagonal() / np.maximum(images, 1) for m in matrices)

    def confused(self) -> np.ndarray:
        """The tailored network's confusions alone: `confusion` without what is right."""
        counts = self.confusion(self.tailored)
        return counts - np.diag(counts.diagonal())

    def gone(self, count: str) -> float:
        """Share of its teacher's count of `costs.Cost` that the chosen network is without."""
        return 1 - self.tailored["cost"][count] / self.teacher["cost"][count]

    def fewer(self, count: str) -> str:
        """How much less than its teacher the chosen network has of a count, in words."""
        share = self.gone(count)
        word = "fewer" if share >= 0 else "more"
        return f"{100 * abs(share):.1f} % {word} {count.replace('_', '-')}"


def _standing(record: Mapping[str, Any]) -> tuple[float, int]:
    """What is better the larger it is."""
    return record["accuracy"]["validation"], -record["cost"]["multiply_adds"]


def _read(workdir: str | os.PathLike, name: str, phase: str) -> dict[str, Any]:
    records = Records(workdir)
    record = records.read(name)
    if record is None:
        raise TailorError(
            f"{records.path(name)} does not exist: {phase} has not run to its end in this workdir."
        )
    return record


def load(workdir: str | os.PathLike) -> Report:
    """Reads the record files in `<workdir>/records`.

    Raises:
        TailorError: a record is missing, or the chosen level is none of those tried.
    """
    teacher = _read(workdir, "teacher", "the teacher phase")
    student = _read(workdir, "student", "the student phase")
    run = _read(workdir, "run", "the selection among the levels")
    levels = [Level.of(name) for name in run["levels"]]
    if run["chosen"] not in run["levels"]:
        raise TailorError(
            f"run.json chooses level {run['chosen']}; expected one of {run['levels']}."
        )
    pruned = {n: _read(workdir, f"pruned_{n.name}", f"pruning with {n}") for n in levels}
    finetuned = {n: _read(workdir, f"finetuned_{n.name}", f"fine-tuning with {n}") for n in levels}
    return Report(run, teacher, student, pruned, finetuned)


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
    if records.path("run").exists():
        report = load(workdir)
        found["nettailor"] = {**report.tailored, "seconds": report.seconds}
    finished = {method: record for method, record in found.items() if record}
    if not finished:
        raise TailorError(
            f"{records.folder} holds no record of a finished network; expected a working directory "
            "of pipelines.tailor whose teacher phase, at least, has run to its end."
        )
    return finished
