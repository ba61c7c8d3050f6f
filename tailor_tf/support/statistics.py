"""Uncertainty of figures that are measured on a few images."""

import math
from collections.abc import Collection


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


def paired_error(mistakes: Collection[int], others: Collection[int], *, images: int) -> float:
    """Standard error of the difference between the accuracies of two networks on the same images.

    `sqrt(b + c - (b - c)^2 / n) / n` for `n` images, of which `b` only the one and `c` only the
    other network classifies wrongly (McNemar 1947). Networks that make the same mistakes can be
    told apart by fewer images than their accuracies alone suggest.

    Args:
        mistakes: positions of the images that the one network classifies wrongly.
        others: the same of the other network.
        images: number of images.

    Returns:
        The standard error, 0..1.
    """
    only, only_others = len(set(mistakes) - set(others)), len(set(others) - set(mistakes))
    discordant = only + only_others
    return math.sqrt(discordant - (only - only_others) ** 2 / images) / images
