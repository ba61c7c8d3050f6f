"""Values of flags of types that absl does not have."""

from typing import Any

from absl import flags

from tailor_tf.support.errors import TailorError

_WORDS = {float: "a number", int: "an integer"}
_LISTS = {float: "numbers", int: "integers"}


def numbers(flag: flags.Flag, kind: type = float) -> tuple[Any, ...] | None:
    """The value of a list flag as floats or, with `int`, integers; `None` if it is not set.

    Raises:
        TailorError: an item is not a number.
    """
    if flag.value is None:
        return None
    try:
        return tuple(kind(item) for item in flag.value)
    except ValueError as error:
        raise TailorError(
            f"--{flag.name} got {','.join(flag.value)!r}; expected {_LISTS[kind]} separated by "
            "commas."
        ) from error


def number_or(flag: flags.Flag, kind: type, **words: Any) -> Any:
    """The value of a string flag as `int` or `float`, or the value of the word in `words`.

    Raises:
        TailorError: the value is neither a number nor one of the words.
    """
    if flag.value in words:
        return words[flag.value]
    try:
        return kind(flag.value)
    except ValueError as error:
        raise TailorError(
            f"--{flag.name} got {flag.value!r}; expected {_WORDS[kind]} or {', '.join(words)}."
        ) from error


def given(names: tuple[str, ...]) -> dict[str, Any]:
    """The values of some flags by name."""
    return {name: flags.FLAGS[name].value for name in names}
