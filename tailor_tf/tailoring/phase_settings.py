"""Settings that the result of each phase depends on."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.data.task import Task
from tailor_tf.network.architecture import STATISTICS
from tailor_tf.records.phase import PROBE, TRUNCATE, Phase
from tailor_tf.tailoring.settings import ALL, AUTO, Settings


@dataclasses.dataclass(frozen=True, eq=False)
class PhaseSettings:
    """All settings that the result of each phase depends on, as JSON values.

    Records and checkpoints that were made with other settings are refused.

    Attributes:
        universal: the universal network.
        task: the task with its images.
        settings: settings of the run.
        complexity_target: the E[C] that the student must reach; `None` for a fixed complexity
            weight.
        measured_on: processor, runtime, precision and threads of measured latencies; `None` if
            none are measured.
    """

    universal: Universal
    task: Task
    settings: Settings
    complexity_target: float | None = None
    measured_on: Mapping[str, str] | None = None

    def of(self, phase: Phase) -> dict[str, Any]:
        """Settings of a phase; a phase of any other kind is a baseline."""
        by_kind = {
            PROBE: self._probe,
            "teacher": self._teacher,
            "student": self._student,
            "sandwich": self._sandwich,
            "pruned": self._pruned,
            "finetuned": self._finetuned,
            TRUNCATE: self._truncated,
        }
        return by_kind.get(phase.kind, self._baseline)()

    def _common(self) -> dict[str, Any]:
        return {
            **self.task.settings(),
            "universal": self.universal.fingerprint,
            "seed": self.settings.seed,
            "precision": keras.config.dtype_policy().name,
        }

    def _probe(self) -> dict[str, Any]:
        own = {"own": self.settings.own, "own_head": self.settings.own_head}
        return {**self._common(), **own, "student": self.settings.student.as_dict()}

    def _truncated(self) -> dict[str, Any]:
        return {**self._common(), "teacher": self.settings.teacher.as_dict()}

    def _teacher(self) -> dict[str, Any]:
        depth = self.settings.depth
        if depth == ALL:  # the only one in earlier versions
            return self._truncated()
        # An automatic depth follows from the probes.
        probe = self._probe() if depth == AUTO else {"own_head": self.settings.own_head}
        return {**self._truncated(), **probe, "depth": depth}

    def _baseline(self) -> dict[str, Any]:
        return {**self._common(), "baseline": self.settings.baseline.as_dict()}

    def _student(self) -> dict[str, Any]:
        names = ("max_skip", "teacher_weight", "teacher_gradient", "estimator", "complexity")
        # Settings that earlier versions did not have are left out at the paper's values.
        newer = {
            "node_errors": "absolute",
            "logit_errors": "squared",
            "identities": False,
            "own": STATISTICS,
        }
        given = {name: getattr(self.settings, name) for name in newer}
        further = {name: value for name, value in given.items() if value != newer[name]}
        if self.complexity_target is not None:
            further["complexity_target"] = self.complexity_target
        if self.settings.needs_latency:
            further["latency"] = dict(self.measured_on)
        return {
            **self._teacher(),
            **{name: getattr(self.settings, name) for name in names},
            "complexity_weight": self.settings.complexity_weight,
            **further,
            "student": self.settings.student.as_dict(),
        }

    def _pruned(self) -> dict[str, Any]:
        return self._sandwich() if self.settings.trains_together else self._ranked()

    def _ranked(self) -> dict[str, Any]:
        ranking = self.settings.ranking
        further = {} if ranking == "gates" else {"ranking": ranking}  # the only one before
        threshold = self.settings.proxy_threshold
        return {**self._student(), "proxy_threshold": threshold, **further}

    def _sandwich(self) -> dict[str, Any]:
        return {**self._ranked(), "sandwich": self.settings.sandwich.as_dict()}

    def _finetuned(self) -> dict[str, Any]:
        return {**self._pruned(), "finetune": self.settings.finetune.as_dict()}
