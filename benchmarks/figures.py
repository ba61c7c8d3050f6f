"""Figures of repeated measurements as text."""

from collections.abc import Sequence

import numpy as np


def spread(values: Sequence[float], decimals: int = 2) -> str:
    """Median and range of values: "1.02 (0.98 to 1.10)"."""
    shown = (f"{end(values):.{decimals}f}" for end in (np.median, np.min, np.max))
    return "{} ({} to {})".format(*shown)
