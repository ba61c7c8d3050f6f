"""Check that the files of a working directory were made with the same settings."""

import json
import os
from collections.abc import Mapping
from typing import Any

from tailor_tf.support import names
from tailor_tf.support.errors import TailorError


class SettingsChangedError(TailorError):
    """The working directory was made with other settings."""


def check_same_settings(
    path: str | os.PathLike, old: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Refuses to continue from a file that was made with other settings.

    Args:
        path: the file, for the error message.
        old: the settings in the file.
        settings: the settings now, JSON values.

    Raises:
        SettingsChangedError: settings differ; the message names them with both values.
    """
    before, now = _flat(old), _flat(json.loads(json.dumps(settings)))
    if not names.is_valid(before.get("task")):  # a name that earlier versions accepted
        before["task"] = now.get("task")
    changed = [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise SettingsChangedError(
            f"{os.fspath(path)} was made with other settings: {'; '.join(changed)}. Use another "
            "working directory, or start again in this one (pipelines.tailor: --redo=PHASE)."
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name, such as `teacher.epochs`."""
    flat = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat
