"""Numbers and tables as text, and names that other people chose, such as of classes and files."""

import math
import re
import unicodedata
from collections.abc import Sequence

_NAMES_SHOWN = 3
_ESCAPED = ("Cc", "Cs", "Zl", "Zp")  # Unicode's control characters, surrogates, line breaks
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKUP = re.compile(r"[\\|`<\[]")  # starts of links, code, HTML and cells in Markdown


def printable(text: str, keep: str = "") -> str:
    r"""A text on one line, without what moves a terminal's cursor or turns the reading direction.

    Control characters, line breaks and bytes that are not UTF-8 become their escapes.

    Args:
        text: such as the name of a file that somebody else chose.
        keep: control characters that stay as they are, such as the line breaks of a table.

    Example:

    >>> printable("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\\nc'
    """
    return "".join(
        c if c in keep or not _is_escaped(c) else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def _is_escaped(character: str) -> bool:
    no_character = ord(character) & 0xFFFE == 0xFFFE  # such as U+FFFE, which XML does not allow
    return unicodedata.category(character) in _ESCAPED or character in _TURNING or no_character


def one_line(text: str) -> str:
    """A message on one line: line breaks become spaces, other control characters escapes."""
    return printable(re.sub(r"\s*[\r\n]+\s*", " ", text.strip()))


def shortened(text: str, most: int) -> str:
    """A text of at most `most` letters, with dots in place of the end of a longer one."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def markdown(text: str) -> str:
    r"""A text as Markdown that shows it literally, on one line.

    Example:

    >>> markdown("a|b")
    'a\\|b'
    """
    return _MARKUP.sub(r"\\\g<0>", printable(text))


def significant(value: float) -> str:
    """A number with three significant digits, and all digits before the decimal point."""
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(decimals, 0)}f}"


def amount(count: float) -> str:
    """A count with three significant digits; large ones in millions (M) or thousands (k)."""
    unit, name = (1e6, " M") if count >= 1e5 else (1e3, " k") if count >= 1e3 else (1, "")
    return significant(count / unit) + name


def first_names(names: Sequence[object]) -> str:
    """The first names of a list, and how many more there are; "none" for no name."""
    shown = ", ".join(str(name) for name in names[:_NAMES_SHOWN]) or "none"
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def aligned(rows: Sequence[Sequence[str]], words: int = 1) -> list[str]:
    """Lines of a Markdown table that also reads well as plain text.

    Args:
        rows: rows of cells, plain text, the header first; all of the same length.
        words: number of columns, from the left, that hold words; the others hold numbers.
    """
    rows = [[markdown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths[:words]]
    rule += ["-" * (width - 1) + ":" for width in widths[words:]]
    lines = [
        [*map(str.ljust, row[:words], widths), *map(str.rjust, row[words:], widths[words:])]
        for row in [rows[0], rule, *rows[1:]]
    ]
    return [f"| {' | '.join(line)} |" for line in lines]
