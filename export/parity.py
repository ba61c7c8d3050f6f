"""Comparison of an artifact with the network that it was made of, by their logits."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from export.metadata import ArtifactError

BATCH = 64  # images of a call
MAX_DIFFERENCE = 1e-4  # of float32 logits, relative to the largest one where that is above 1


class ParityError(ArtifactError):
    """An artifact whose answers are too far from the answers of its network."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far an artifact may be from its network; a limit that is `None` is not looked at.

    Attributes:
        max_difference: largest difference of a logit, relative to the largest logit where that is
            above 1.
        min_agreement: least share of images with the same top-1 class, 0..1.
        may_disagree: images that may have another class, however few images there are.
        max_accuracy_drop: percentage points of accuracy that may be lost.
    """

    max_difference: float | None = None
    min_agreement: float | None = None
    may_disagree: int = 0
    max_accuracy_drop: float | None = None


FLOAT32 = Limits(max_difference=MAX_DIFFERENCE, min_agreement=1.0)
# Rounded weights turn over images whose first two classes are near each other: 0.4 % of photographs
# in a network of 49 convolutions, a third of them depthwise, whose logits differ by 4e-3.
FLOAT16 = Limits(max_difference=2e-2, min_agreement=0.99, may_disagree=1)


@dataclasses.dataclass(frozen=True)
class Parity:
    """Logits of an artifact compared with logits of the Keras model for the same images.

    Attributes:
        images: number of images.
        max_difference: largest absolute difference of a logit.
        mean_difference: mean absolute difference.
        largest_logit: largest absolute logit of the Keras model.
        agreement: share of images with the same top-1 class; a class that the Keras model has as
            likely as its first, to `MAX_DIFFERENCE`, is the same.
        accuracy: the artifact's top-1 accuracy.
        expected_accuracy: the Keras model's.
    """

    images: int
    max_difference: float
    mean_difference: float
    largest_logit: float
    agreement: float
    accuracy: float
    expected_accuracy: float

    @property
    def drop(self) -> float:
        """Percentage points of accuracy lost."""
        return 100 * (self.expected_accuracy - self.accuracy)

    @property
    def relative_difference(self) -> float:
        """The largest difference, relative to the largest logit where that is above 1."""
        return self.max_difference / max(1.0, self.largest_logit)


def compare(expected: np.ndarray, received: np.ndarray, labels: np.ndarray) -> Parity:
    """Compares the logits of an artifact with the logits of the Keras model.

    Args:
        expected: the Keras model's, `[images, classes]`.
        received: the artifact's for the same images, `[images, classes]`.
        labels: their classes, integers `[images]`.
    """
    difference = np.abs(received - expected)
    largest = float(np.abs(expected).max())
    ours, rows = received.argmax(-1), np.arange(len(expected))
    tie = MAX_DIFFERENCE * max(1.0, largest)
    return Parity(
        images=len(expected),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        largest_logit=largest,
        agreement=float(np.mean(expected[rows, ours] >= expected.max(-1) - tie)),
        accuracy=float(np.mean(ours == labels)),
        expected_accuracy=float(np.mean(expected.argmax(-1) == labels)),
    )


def in_batches(logits: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Logits `[images, classes]` of many images, `BATCH` at a time."""
    starts = range(0, len(images), BATCH)
    return np.concatenate([logits(images[start : start + BATCH]) for start in starts])


def check(name: str, limits: Limits, parity: Parity) -> None:
    """Refuses an artifact that is farther from its network than its limits allow.

    Raises:
        ParityError: names the artifact, the limits and the figures that exceed them.
    """
    if problems := _problems(limits, parity):
        raise ParityError(f"{name} is not what was trained: {'; '.join(problems)}.")


def _problems(limits: Limits, parity: Parity) -> list[str]:
    problems = []
    if not np.isfinite(parity.max_difference):
        problems.append("some logits are not finite")
    if _is_above(parity.relative_difference, limits.max_difference):
        problems.append(
            f"logits differ by {parity.relative_difference:.1e}, expected "
            f"{limits.max_difference:.0e} at most"
        )
    if parity.agreement < (least := _min_agreement(limits, parity.images)):
        problems.append(
            f"top-1 agrees on {100 * parity.agreement:.2f} % of the images, expected "
            f"{100 * least:.2f} % at least"
        )
    if _is_above(parity.drop, limits.max_accuracy_drop):
        problems.append(
            f"accuracy falls by {parity.drop:.2f} points, expected {limits.max_accuracy_drop} at "
            "most"
        )
    return problems


def _is_above(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _min_agreement(limits: Limits, images: int) -> float:
    if limits.min_agreement is None:
        return 0.0
    return min(limits.min_agreement, 1 - limits.may_disagree / images)


def table(parities: Mapping[str, Parity]) -> list[list[str]]:
    """Rows of a table of artifacts, the header first."""
    rows = [["artifact", "top-1 agreement (%)", "accuracy (%)", "largest difference", "mean"]]
    for name, parity in parities.items():
        rows.append(
            [
                name,
                f"{100 * parity.agreement:.2f}",
                f"{100 * parity.accuracy:.2f}",
                f"{parity.max_difference:.1e}",
                f"{parity.mean_difference:.1e}",
            ]
        )
    return rows
