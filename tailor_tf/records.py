"""Records of a run: one JSON file per phase, the only thing that reports are made from."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from tailor_tf.files import write_text


class SettingsChangedError(ValueError):
    """A working directory that was made with other settings."""


def check_same_settings(
    path: str | os.PathLike, old: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Refuses to go on from a file that was made with other settings.

    Raises:
        SettingsChangedError: names the settings that differ, with both values.
    """
    new = json.loads(json.dumps(settings))
    changed = [
        f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if changed:
        raise SettingsChangedError(
            f"{os.fspath(path)} was made with other settings: {'; '.join(changed)}. Use another "
            "working directory, or redo this phase."
        )


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
