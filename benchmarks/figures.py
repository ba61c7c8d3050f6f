"""How benchmarks show what they measured several times."""

from collections.abc import Sequence

import numpy as np


def spread(values: Sequence[float], decimals: int = 2) -> str:
    """The median of some values, and their range."""
    shown = (f"{end(values):.{decimals}f}" for end in (np.median, np.min, np.max))
    return "{} ({} to {})".format(*shown)
