"""Records of a run: one JSON file per phase."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import write_text

LAYOUT = 2  # of the records; files of another one are refused


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

    @property
    def leanness(self) -> tuple[float, float]:
        """What is larger the leaner the network is."""
        return self.blocks, -math.inf if self.proxies is None else -self.proxies

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
        text = json.dumps({"layout": LAYOUT, **record}, indent=1)
        write_text(self.path(name), text + "\n")

    def read(self, name: str) -> dict[str, Any] | None:
        """Reads a record; `None` if there is none.

        Raises:
            TailorError: it is no record, or one of another layout.
        """
        path = self.path(name)
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TailorError(f"{path} is damaged: {error}. Remove it, and run again.") from error
        layout = record.get("layout")
        if layout != LAYOUT:
            raise TailorError(
                f"{path} has layout {layout or 1} and this version reads layout {LAYOUT}; use the "
                "version that wrote it, or another working directory."
            )
        return record

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

    def levels(self, kind: str) -> dict[Level, dict[str, Any]]:
        """The records "pruned" or "finetuned" that there are, by level."""
        names = [path.stem for path in self.folder.glob(f"{kind}_*.json")]
        found = {Level.of(name.partition("_")[2]): self.read(name) for name in names}
        return dict(sorted(found.items(), key=lambda item: (item[0].blocks, item[0].name)))
