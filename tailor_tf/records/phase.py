"""Phases of a run, and their names in file names."""

import dataclasses
import re
from collections.abc import Mapping

from tailor_tf.records.level import Level
from tailor_tf.support.errors import TailorError

# Stages of a run in their order, as flags name them, each with the kind of its phases.
STAGES: Mapping[str, str] = {
    "depth": "probe",
    "teacher": "teacher",
    "student": "student",
    "sandwich": "sandwich",
    "prune": "pruned",
    "finetune": "finetuned",
}

# Networks to compare with, each trained in a phase of its own; flags and phases have these names.
LINEAR = "linear"
RESIDUAL_ADAPTERS = "residual_adapters"
TRUNCATE = "truncate"
BASELINES = (LINEAR, RESIDUAL_ADAPTERS, TRUNCATE)

PROBE = STAGES["depth"]

_NAME = re.compile(r"([a-z]+(?:_[a-z]+)*)(?:_(\d+(?:_\d+)?))?")


@dataclasses.dataclass(frozen=True)
class Phase:
    """One training or pruning of a run; its records, checkpoints and logs have its name.

    Attributes:
        kind: "probe", "teacher", "student", "sandwich", "pruned", "finetuned", or the name of a
            baseline.
        level: the level of pruning; `None` for phases without pruning.
        depth: number of blocks that a truncated network or a probe keeps; `None` for other phases.

    Example:

    >>> finetuned(Level(8, proxies=6)).name, truncated(11).name
    ('finetuned_8_6', 'truncate_11')
    """

    kind: str
    level: Level | None = None
    depth: int | None = None

    @property
    def name(self) -> str:
        """The phase in file names, such as `teacher` or `finetuned_8_6`."""
        variants = (self.level and self.level.name, self.depth)
        return "_".join(str(part) for part in (self.kind, *variants) if part is not None)

    @classmethod
    def parse(cls, name: str) -> "Phase":
        """The inverse of `name`.

        Raises:
            TailorError: the name is not the name of a phase.
        """
        match = _NAME.fullmatch(name)
        if not match:
            raise TailorError(f"{name!r} is no phase; expected such as teacher or finetuned_8_6.")
        if match[1] in (TRUNCATE, PROBE) and match[2] and match[2].isdigit():
            return cls(match[1], depth=int(match[2]))
        return cls(match[1], Level.parse(match[2]) if match[2] else None)

    @property
    def is_baseline(self) -> bool:
        """Whether the phase trains a network to compare with, not a step of tailoring."""
        return self.kind in BASELINES


TEACHER = Phase("teacher")
STUDENT = Phase("student")
SANDWICH = Phase("sandwich")


def pruned(level: Level) -> Phase:
    """The pruning of the student to a level."""
    return Phase("pruned", level)


def finetuned(level: Level) -> Phase:
    """The fine-tuning of the network that is pruned to a level."""
    return Phase("finetuned", level)


def truncated(depth: int) -> Phase:
    """The training of the network that is cut off behind block `depth`."""
    return Phase(TRUNCATE, depth=depth)


def probe(depth: int) -> Phase:
    """The short training of the network that is cut off behind block `depth`."""
    return Phase(PROBE, depth=depth)


def stage_index(stage: str) -> int:
    """Position of a stage among `STAGES`.

    Raises:
        TailorError: an unknown stage.
    """
    if stage not in STAGES:
        raise TailorError(f"Unknown phase {stage!r}; known are {', '.join(STAGES)}.")
    return list(STAGES).index(stage)


def kinds_from(stage: str) -> tuple[str, ...]:
    """Kinds of the phases of a stage and of all stages after it; a baseline has none after it.

    Raises:
        TailorError: an unknown stage.
    """
    return (stage,) if stage in BASELINES else tuple(STAGES.values())[stage_index(stage) :]
