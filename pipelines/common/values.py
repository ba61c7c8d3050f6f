"""Flags of numbers in a range, of lists, and of text; what is out of range is refused when parsed.

absl's own flags of floats accept "nan" whatever their bounds are, and its lists hold anything.
"""

import dataclasses
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

MANY = 1_000_000  # more epochs, rounds or versions than that are a mistake
LARGEST_SEED = 2**31 - 1
LARGEST_SIDE = 8192  # pixels of an image's side

_HOLDS = {"least": operator.ge, "above": operator.gt, "most": operator.le, "below": operator.lt}
_BOUND = {"least": "at least", "above": "above", "most": "at most", "below": "below"}
_WORDS = {int: "an integer", float: "a number"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """The finite numbers that a flag takes; each bound is a number or `None`.

    Attributes:
        least, most: bounds that belong to the range.
        above, below: bounds that do not.

    Example:

    >>> str(Range(above=0, most=1)), 0 in Range(above=0, most=1)
    ('above 0 and at most 1', False)
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    @property
    def _bounds(self) -> dict[str, float]:
        return {name: end for name, end in vars(self).items() if end is not None}

    def __contains__(self, value: float) -> bool:
        held = all(_HOLDS[name](value, end) for name, end in self._bounds.items())
        return held and math.isfinite(value)

    def __str__(self) -> str:
        return " and ".join(f"{_BOUND[name]} {end}" for name, end in self._bounds.items())


class NumberParser(flags.ArgumentParser):
    """Parser of a number in a range, or of one of a few words that stand for a number.

    Args:
        kind: `int` or `float`.
        within: the numbers that are accepted.
        words: accepted in place of a number, such as "auto".
    """

    def __init__(self, kind: type, within: Range, words: Sequence[str] = ()):
        self.kind, self.within, self.words = kind, within, tuple(words)
        self.syntactic_help = self.expected

    @property
    def expected(self) -> str:
        """The accepted values in words."""
        number = f"{_WORDS[self.kind]} {self.within}".strip()
        return " or ".join([number, *self.words])

    def parse(self, argument: Any) -> Any:
        if argument in self.words:
            return argument
        try:
            value = self.kind(argument)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"expected {self.expected}") from error
        if value not in self.within:
            raise ValueError(f"expected {self.expected}")
        return value

    def flag_type(self) -> str:
        return self.kind.__name__


class ListParser(flags.ListParser):
    """Parser of items separated by commas, each by a parser of its own.

    Args:
        item: from the text of an item to its value.
        length: number of items; any number above 0 if `None`.
    """

    def __init__(self, item: Callable[[str], Any], length: int | None = None):
        super().__init__()
        self._item, self._length = item, length

    def parse(self, argument: str | Sequence[Any] | None) -> list[Any]:
        found = list(argument) if isinstance(argument, list | tuple) else self._items(argument)
        if len(found) != (self._length or max(len(found), 1)):
            wanted = self._length or "one or more"
            raise ValueError(f"expected {wanted} values separated by commas")
        return found

    def _items(self, text: str) -> list[Any]:
        return [self._item(each) for each in super().parse(text)]


class TextParser(flags.ArgumentParser):
    """Parser of text that is not empty."""

    def parse(self, argument: str) -> str:
        if not argument.strip():
            raise ValueError("expected a text, received none")
        return argument


def _define(
    parser: flags.ArgumentParser, name: str, default: Any, text: str, **options: Any
) -> None:
    is_list = isinstance(parser, flags.ListParser)
    serializer = flags.CsvListSerializer(",") if is_list else flags.ArgumentSerializer()
    flags.DEFINE(parser, name, default, text, serializer=serializer, **options)


def define_integer(name: str, default: int | None, text: str, **bounds: float) -> None:
    """Defines a flag of an integer; `bounds` are those of `Range`."""
    _define(NumberParser(int, Range(**bounds)), name, default, text)


def define_number(name: str, default: float | None, text: str, **bounds: float) -> None:
    """Defines a flag of a finite number; `bounds` are those of `Range`."""
    _define(NumberParser(float, Range(**bounds)), name, default, text)


def define_number_or(
    words: Sequence[str], name: str, default: Any, text: str, *, kind: type, **bounds: float
) -> None:
    """Defines a flag of a number of a kind, `int` or `float`, or of one of some words."""
    _define(NumberParser(kind, Range(**bounds), words), name, default, text)


def define_numbers(
    name: str,
    default: Sequence[float] | None,
    text: str,
    *,
    kind: type = float,
    length: int | None = None,
    **bounds: float,
) -> None:
    """Defines a flag of numbers separated by commas: `length` of them, or any number above 0."""
    number = NumberParser(kind, Range(**bounds))
    _define(ListParser(number.parse, length), name, default, text)


def define_names(name: str, default: Sequence[str] | None, text: str, known: Sequence[str]) -> None:
    """Defines a flag of known names, separated by commas."""

    def item(received: str) -> str:
        if received not in known:
            raise ValueError(f"{received!r} is unknown; expected some of {', '.join(known)}")
        return received

    _define(ListParser(item), name, default, text)


def define_list(
    name: str, default: Any, text: str, item: Callable[[str], Any], **options: Any
) -> None:
    """Defines a flag of items separated by commas; `item` reads one, or raises `ValueError`."""
    _define(ListParser(item), name, default, text, **options)


def define_text(name: str, default: str | None, text: str, **options: Any) -> None:
    """Defines a flag of a text that is not empty."""
    _define(TextParser(), name, default, text, **options)


def given(names: tuple[str, ...]) -> dict[str, Any]:
    """The values of some flags by name."""
    return {name: flags.FLAGS[name].value for name in names}
