"""Whether an artifact computes what was trained: reload it, run it, compare it."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from export.metadata import ArtifactError

BATCH = 64
MAX_DIFFERENCE = 1e-4  # of float32 logits, relative to the largest one where that is above 1


class ParityError(ArtifactError):
    """An artifact that answers otherwise than the network it was made of."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """An artifact's logits beside those of the Keras model, over the same images.

    Attributes:
        images: how many.
        max_difference: largest absolute difference of a logit.
        mean_difference: mean absolute difference.
        largest_logit: largest absolute logit of the Keras model.
        agreement: share of images with the same top-1 class; a class that the Keras model has as
            likely as its first, to `MAX_DIFFERENCE`, is the same.
        accuracy: the artifact's top-1 accuracy.
        expected_accuracy: that of the Keras model.
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
        """Points of accuracy lost."""
        return 100 * (self.expected_accuracy - self.accuracy)


def compare(expected: np.ndarray, received: np.ndarray, labels: np.ndarray) -> Parity:
    """Compares logits `[images, classes]` of the same images, whose classes are `labels`."""
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


def check(name: str, precision: str, parity: Parity, max_accuracy_drop: float) -> None:
    """Refuses an artifact that is off.

    float32 logits differ by at most `MAX_DIFFERENCE` and agree in top-1 on every image; float16
    agrees on 99.9 % of them, or on all but one; whatever else there is, such as int8, loses at most
    `max_accuracy_drop` points of accuracy.

    Raises:
        ParityError: names the artifact, the limit and what was measured.
    """
    relative = parity.max_difference / max(1.0, parity.largest_logit)
    least = {"float32": 1.0, "float16": min(0.999, 1 - 1 / parity.images)}.get(precision, 0.0)
    problems = []
    if not np.isfinite(parity.max_difference):
        problems.append("some logits are not finite")
    if precision == "float32" and relative > MAX_DIFFERENCE:
        problems.append(f"logits differ by {relative:.1e}, expected {MAX_DIFFERENCE:.0e} at most")
    if parity.agreement < least:
        problems.append(
            f"top-1 agrees on {100 * parity.agreement:.2f} % of the images, expected "
            f"{100 * least:.2f} % at least"
        )
    if least == 0.0 and parity.drop > max_accuracy_drop:
        problems.append(
            f"accuracy falls by {parity.drop:.2f} points, expected {max_accuracy_drop} at most"
        )
    if problems:
        raise ParityError(f"{name} is not what was trained: {'; '.join(problems)}.")


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
