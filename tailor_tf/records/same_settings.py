"""Check that the files of a working directory were made with the same settings."""

import json
import os
from collections.abc import Mapping
from typing import Any

from tailor_tf.support import names
from tailor_tf.support.errors import TailorError
from tailor_tf.support.text import first_names

_IMAGES = "fingerprint"  # of the images; records of earlier versions have none


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
        SettingsChangedError: settings differ; the message names them with both values, and the
            classes whose images changed.
    """
    now = json.loads(json.dumps(settings))
    images, before = _changed_images(old, now), _flat(_without_images(old))
    now = _flat(_without_images(now))
    if not names.is_valid(before.get("task")):  # a name that earlier versions accepted
        before["task"] = now.get("task")
    changed = [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    if changed or images:
        raise SettingsChangedError(
            f"{os.fspath(path)} was made with other settings: {'; '.join([*changed, *images])}. "
            "Use another working directory, or start again in this one (pipelines.tailor: "
            f"--redo={'teacher' if images else 'PHASE'})."
        )


def have_same_images(old: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether two settings are those of the same images, as far as both of them tell."""
    return not _changed_images(old, settings)


def fingerprints(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Fingerprints of classes by split, as far as the settings have them."""
    found = settings.get(_IMAGES)
    splits = found.items() if isinstance(found, Mapping) else ()
    return {split: classes for split, classes in splits if isinstance(classes, Mapping)}


def _changed_images(old: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed in the images of each split; nothing if one of the settings does not tell."""
    before, after = fingerprints(old), fingerprints(now)
    if not before or not after:
        return []
    found = []
    for split in sorted({*before, *after}):
        one, other = before.get(split, {}), after.get(split, {})
        names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
        if names:
            found.append(f"the images of {split} changed, of the classes {first_names(names)}")
    return found


def _without_images(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != _IMAGES}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name, such as `teacher.epochs`."""
    flat = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat
