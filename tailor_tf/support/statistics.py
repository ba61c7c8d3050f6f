"""Uncertainty of figures that are measured on a few images."""

import math


def standard_error(share: float, *, images: int) -> float:
    """Standard error of a share that is measured on a number of images.

    `sqrt(p (1 - p) / images)`, the standard deviation of a binomial share, with
    `p = (share * images + 1) / (images + 2)`, which is never 0 or 1.

    Args:
        share: the measured share, 0..1, such as an accuracy.
        images: number of images.

    Returns:
        The standard error, 0..1.
    """
    moved = (share * images + 1) / (images + 2)
    return math.sqrt(moved * (1 - moved) / images)
