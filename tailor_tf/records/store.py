"""Reading and writing the records of a working directory."""

import contextlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any, TypeVar

from tailor_tf.network.latencies import Latencies
from tailor_tf.records import workdir as names
from tailor_tf.records.checks import check
from tailor_tf.records.level import Level
from tailor_tf.records.phase import TRUNCATE, Phase
from tailor_tf.records.records import ExamplesRecord, PhaseRecord, RunRecord, SelectionRecord
from tailor_tf.records.same_settings import check_same_settings, fingerprints
from tailor_tf.records.workdir import Workdir
from tailor_tf.support import files, limits
from tailor_tf.support.errors import TailorError
from tailor_tf.support.json_text import parsed, sealed, unsealed

LAYOUT = 2  # number of the records' layout; files of other layouts are refused

_NAMES: Mapping[type, str] = {
    RunRecord: names.RUN,
    SelectionRecord: names.SELECTION,
    Latencies: names.LATENCIES,
    ExamplesRecord: names.EXAMPLES,
}
_Record = TypeVar("_Record")


class Records:
    """Records of one working directory; each record is written in one piece.

    Args:
        workdir: the run's working directory.
    """

    def __init__(self, workdir: Workdir):
        self.workdir = workdir

    def read(self, kind: type[_Record]) -> _Record | None:
        """Reads the record of a kind, such as `RunRecord`; `None` if there is none.

        Raises:
            TailorError: the record is damaged or has another layout.
        """
        return _read(self.path(kind), kind)

    def write(self, record: Any) -> None:
        """Writes a record of a kind that `read` can read."""
        _write(self.path(type(record)), record)

    def path(self, kind: type) -> pathlib.Path:
        """The file of the record of a kind."""
        return self.workdir.record(_NAMES[kind])

    def read_phase(self, phase: Phase) -> PhaseRecord | None:
        """Reads the record of a phase; `None` if there is none.

        Raises:
            TailorError: the record is damaged or has another layout.
        """
        return _read(self.phase_path(phase), PhaseRecord)

    def write_phase(self, phase: Phase, record: PhaseRecord) -> None:
        """Writes the record of a phase."""
        _write(self.phase_path(phase), record)

    def phase_path(self, phase: Phase) -> pathlib.Path:
        """The file of a phase's record."""
        return self.workdir.record(phase.name)

    def read_if_same(self, phase: Phase, settings: Mapping[str, Any]) -> PhaseRecord | None:
        """Reads the record of a phase and checks its settings; `None` if there is none.

        Raises:
            SettingsChangedError: the phase had other settings; the message names them with both
                values.
            TailorError: the record is damaged or has another layout.
        """
        record = self.read_phase(phase)
        if record is not None:
            check_same_settings(self.phase_path(phase), record.settings, settings)
        return record

    def fingerprints(self) -> dict[str, Mapping[str, Any]]:
        """Fingerprints of the images that a finished phase used, by split and class.

        Returns:
            None of them if there is no such phase, or its record does not tell or is damaged.
        """
        for phase in self.workdir.phases():
            with contextlib.suppress(TailorError):
                record = self.read_phase(phase)
                if record and (found := fingerprints(record.settings)):
                    return found
        return {}

    def levels(self, kind: str) -> dict[Level, PhaseRecord]:
        """The existing records of the phases of a kind, "pruned" or "finetuned", by level."""
        phases = [phase for phase in self.workdir.phases() if phase.kind == kind]
        found = {phase.level: self.read_phase(phase) for phase in phases}
        return dict(sorted(found.items(), key=lambda item: item[0].leanness))

    def baselines(self) -> dict[str, PhaseRecord]:
        """The records of the baselines, networks to compare with, by method."""
        phases = [phase for phase in self.workdir.phases() if phase.is_baseline]
        return {phase.name: self.read_phase(phase) for phase in phases}

    def truncated(self) -> dict[int, PhaseRecord]:
        """The records of the truncated networks, by the number of blocks that they keep."""
        phases = [phase for phase in self.workdir.phases() if phase.kind == TRUNCATE]
        return {
            phase.depth: self.read_phase(phase) for phase in sorted(phases, key=lambda p: p.depth)
        }


def _write(path: pathlib.Path, record: Any) -> None:
    data = {"layout": LAYOUT, **record.as_dict()}
    files.write_text(path, json.dumps(sealed(data), indent=1) + "\n")


def _read(path: pathlib.Path, kind: type[_Record]) -> _Record | None:
    if not path.exists():
        return None
    content = files.read_bytes(path, limits.RECORD_BYTES)
    try:
        data = parsed(content, limits.RECORD_BYTES)
        layout = data.get("layout")
        if layout == LAYOUT:
            record = kind.from_dict(unsealed(data))
            check(record)
            return record
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TailorError(f"{path} is damaged: {error!r}. Remove it, and run again.") from error
    raise TailorError(
        f"{path} has layout {layout or 1} and this version reads layout {LAYOUT}; use the "
        "version that wrote it, or another working directory."
    )
