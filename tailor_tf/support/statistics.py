"""Uncertainty of figures that are measured on a few images."""

import math
import statistics


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


def paired_error(only: int, only_other: int, *, images: int) -> float:
    """Standard error of the difference between the accuracies of two networks on the same images.

    `sqrt(b + c - (b - c)^2 / n) / n` for `n` images, of which `b` only the one and `c` only the
    other network classifies wrongly (McNemar 1947). Networks that make the same mistakes can be
    told apart by fewer images than their accuracies alone suggest.

    Args:
        only: number of images that only the one network classifies wrongly.
        only_other: number of images that only the other network classifies wrongly.
        images: number of images.

    Returns:
        The standard error, 0..1.
    """
    variance = only + only_other - (only - only_other) ** 2 / images
    return math.sqrt(max(variance, 0.0)) / images


def errors_allowed(confidence: float) -> float:
    """Standard errors between an estimate and its one-sided limit of a confidence.

    Args:
        confidence: probability that the truth is on this side of the limit, 0.5 to below 1; 0 is
            the same as 0.5, for which the limit is the estimate.
    """
    return statistics.NormalDist().inv_cdf(confidence or 0.5)
