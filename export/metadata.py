"""Files that travel inside of every artifact: class names, and the task with its preprocessing."""

import json
from typing import Any

from tailor_tf.data.task_info import TaskInfo
from tailor_tf.support.errors import TailorError
from tailor_tf.support.json_text import parsed
from tailor_tf.support.text import printable

LABELS_FILE = "labels.txt"
METADATA_FILE = "metadata.json"


class ArtifactError(TailorError):
    """An artifact that cannot be made, read or run."""


def files(info: TaskInfo) -> dict[str, str]:
    """Contents of the files for a task, by file name; `LABELS_FILE` has one class name a line.

    A line break in a name is written as its escape there; `METADATA_FILE` has the name itself.
    """
    labels = "".join(f"{printable(name)}\n" for name in info.classes)
    return {LABELS_FILE: labels, METADATA_FILE: to_json(info)}


def to_json(info: TaskInfo) -> str:
    """A task as one JSON object, the content of `METADATA_FILE`."""
    return json.dumps(info.as_dict())


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
