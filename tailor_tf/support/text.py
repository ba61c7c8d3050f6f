"""Numbers and tables as text."""

import math
from collections.abc import Sequence


def significant(value: float) -> str:
    """A number with three significant digits, and all digits before the decimal point."""
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(decimals, 0)}f}"


def amount(count: float) -> str:
    """A count with three significant digits; large ones in millions (M) or thousands (k)."""
    unit, name = (1e6, " M") if count >= 1e5 else (1e3, " k") if count >= 1e3 else (1, "")
    return significant(count / unit) + name


def aligned(rows: Sequence[Sequence[str]], words: int = 1) -> list[str]:
    """Lines of a Markdown table that also reads well as plain text.

    Args:
        rows: rows of cells, the header first; all of the same length.
        words: number of columns, from the left, that hold words; the others hold numbers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths[:words]]
    rule += ["-" * (width - 1) + ":" for width in widths[words:]]
    lines = [
        [*map(str.ljust, row[:words], widths), *map(str.rjust, row[words:], widths[words:])]
        for row in [rows[0], rule, *rows[1:]]
    ]
    return [f"| {' | '.join(line)} |" for line in lines]
