"""Names of tasks: one rule for folders, models and signatures of servers, and bundles."""

import re
import unicodedata
from collections.abc import Iterable

from tailor_tf.support.errors import TailorError

RULE = (
    "at most 100 letters, digits, '_', '-' and '.', the first one a letter or a digit and the last "
    "one no '.'; not 'tasks', which the artifacts of many tasks are called, and no name that "
    "Windows reserves"
)

ENCODED = "_encoded"  # ending of a task's signature that takes image files

_LENGTH, _BYTES = 100, 200  # a file name has 255 bytes at most, with endings
_SPELLING = re.compile(r"[^\W_][\w.-]*(?<!\.)")
_WINDOWS = re.compile(r"(?:con|prn|aux|nul|(?:com|lpt)[0-9])(?:\..*)?")
_OF_MANY = "tasks"


class TaskNameError(TailorError):
    """A name that no task can have, or that is too much like the name of another one."""


def checked(name: str) -> str:
    """Checks the name of a task, which is also the name of folders, models and signatures.

    Returns:
        The name in Unicode's composed form (NFC).

    Raises:
        TaskNameError: the name is outside of the rule, such as a name with "/", which could lead
            out of a folder.

    Example:

    >>> checked("garden-flowers.v2")
    'garden-flowers.v2'
    """
    if not is_valid(name):
        raise TaskNameError(
            f"{name!r} cannot be the name of a task; expected {RULE}. Give it another name with "
            f"--name, such as {_suggestion(name)}."
        )
    return unicodedata.normalize("NFC", name)


def is_valid(name: object) -> bool:
    """Whether a value can be the name of a task."""
    if not isinstance(name, str):
        return False
    text = unicodedata.normalize("NFC", name)
    short = len(text) <= _LENGTH and len(text.encode(errors="replace")) <= _BYTES
    return bool(short and _SPELLING.fullmatch(text)) and not _is_reserved(_folded(text))


def check_distinct(name: str, others: Iterable[str], place: object) -> None:
    """Refuses a name that differs from another one by case or Unicode form alone.

    Some file systems take such names for the same.

    Args:
        name: the name.
        others: the names that there are; the name itself may be one of them.
        place: where they are, for the message.

    Raises:
        TaskNameError: names both.
    """
    for other in others:
        if other != name and _folded(other) == _folded(name):
            raise TaskNameError(
                f"The name {name!r} differs from {other!r} in {place} by case or Unicode form "
                "alone; expected names that all file systems distinguish. Give it another name "
                "with --name."
            )


def check_signatures(name: str, others: Iterable[str], place: object) -> None:
    """Refuses a name that is the signature of another task in the same model; as `check_distinct`.

    Raises:
        TaskNameError: names both.
    """
    for other in others:
        if ENCODED in (name.removeprefix(other), other.removeprefix(name)):
            raise TaskNameError(
                f"The names {name!r} and {other!r} in {place} would have the same signature in an "
                f"artifact of both, as {ENCODED!r} is the ending for image files; expected names "
                "that differ by more. Give it another name with --name."
            )


def _folded(text: str) -> str:
    """The form in which names are compared: equal for names that a file system may confuse."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _is_reserved(folded: str) -> bool:
    return folded == _OF_MANY or bool(_WINDOWS.fullmatch(folded))


def _suggestion(name: object) -> str:
    """A valid name that is like `name`."""
    text = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", str(name)))
    text = text.strip("._-")[: _LENGTH // 4].rstrip(".") or "task"
    return text if is_valid(text) else f"my_{text}"
