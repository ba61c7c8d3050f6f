"""Records of a run: one JSON file per phase, the only thing that reports are made from."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

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
        run: task, universal network, tolerance in points, levels tried and the level chosen.
        teacher: the teacher's record.
        student: the record of the student with all its paths.
        pruned: the record after pruning, by the number of universal blocks to remove.
        finetuned: the record after fine-tuning what was left, by the same number.
    """

    run: dict[str, Any]
    teacher: dict[str, Any]
    student: dict[str, Any]
    pruned: dict[int, dict[str, Any]]
    finetuned: dict[int, dict[str, Any]]

    @property
    def seconds(self) -> float:
        """Seconds that all phases took, those of levels not chosen included."""
        levels = (*self.pruned.values(), *self.finetuned.values())
        return sum(record["seconds"] for record in (self.teacher, self.student, *levels))

    @property
    def tailored(self) -> dict[str, Any]:
        """The record of the chosen network."""
        return self.finetuned[self.run["chosen"]]

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

    def gone(self, count: str) -> float:
        """Share of its teacher's count of `costs.Cost` that the chosen network is without."""
        return 1 - self.tailored["cost"][count] / self.teacher["cost"][count]

    def fewer(self, count: str) -> str:
        """How much less than its teacher the chosen network has of a count, in words."""
        share = self.gone(count)
        word = "fewer" if share >= 0 else "more"
        return f"{100 * abs(share):.1f} % {word} {count.replace('_', '-')}"


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
    levels = run["levels"]
    if run["chosen"] not in levels:
        raise TailorError(f"run.json chooses level {run['chosen']}; expected one of {levels}.")
    pruned = {n: _read(workdir, f"pruned_{n}", f"pruning {n} blocks") for n in levels}
    finetuned = {
        n: _read(workdir, f"finetuned_{n}", f"fine-tuning after pruning {n} blocks") for n in levels
    }
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
