"""Files that travel inside of every artifact: class names, and the task with its preprocessing."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tailor_tf.data.task_info import TaskInfo
from tailor_tf.support.errors import TailorError
from tailor_tf.support.json_text import canonical, parsed
from tailor_tf.support.text import printable

LABELS_FILE = "labels.txt"
METADATA_FILE = "metadata.json"
_CHECKSUM = "checksum"  # missing in artifacts of earlier versions of this project


class ArtifactError(TailorError):
    """An artifact that cannot be made, read or run."""


def files(info: TaskInfo, network: bytes | None = None) -> dict[str, str]:
    """Contents of the files for a task, by file name; `LABELS_FILE` has one class name a line.

    A line break in a name is written as its escape there; `METADATA_FILE` has the name itself.

    Args:
        info: the task.
        network: the network as the artifact stores it, for formats of one file.
    """
    labels = "".join(f"{printable(name)}\n" for name in info.classes)
    return {LABELS_FILE: labels, METADATA_FILE: to_json(info, network)}


def to_json(info: TaskInfo, network: bytes | None = None) -> str:
    """A task as one JSON object, the content of `METADATA_FILE`; arguments as of `files`."""
    return json.dumps(as_dict(info, network))


def as_dict(info: TaskInfo, network: bytes | None = None) -> dict[str, Any]:
    """A task as JSON values, with a checksum of them and its network; arguments as of `files`."""
    data = info.as_dict()
    return data if network is None else {**data, _CHECKSUM: _checksum(data, network)}


def check_network(described: Any, network: bytes, origin: str) -> None:
    """Refuses a network or a description that was altered.

    Args:
        described: the JSON value of `as_dict`; one of an earlier version of this project has no
            checksum, and its network is not checked.
        network: the network as the artifact stores it.
        origin: the artifact, for the error.

    Raises:
        ArtifactError: they do not belong together.
    """
    expected = described.get(_CHECKSUM) if isinstance(described, Mapping) else None
    if expected not in (None, _checksum(described, network)):
        raise ArtifactError(
            f"{origin} was altered or cut short: its content does not match the checksum in its "
            "description. Export the task again."
        )


def _checksum(data: Mapping[str, Any], network: bytes) -> str:
    """SHA-256 of a description without its checksum, and of a network."""
    rest = {key: value for key, value in data.items() if key != _CHECKSUM}
    return hashlib.sha256(canonical(rest).encode() + network).hexdigest()


def from_json(text: str | bytes, origin: str) -> TaskInfo:
    """The inverse of `to_json`.

    Args:
        text: the JSON object.
        origin: the artifact that it comes from, for the error.

    Raises:
        ArtifactError: the text is damaged.
    """
    try:
        found = parsed(text)
    except ValueError as error:
        raise _damaged(origin, error) from error
    return from_dict(found, origin)


def from_dict(data: Any, origin: str) -> TaskInfo:
    """A task from its JSON value; arguments and errors as of `from_json`."""
    try:
        return TaskInfo.from_dict(data)
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(origin, error) from error


def _damaged(origin: str, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"The task's description in {origin} is damaged: {str(error).rstrip('.')}. Export the task "
        "again."
    )
