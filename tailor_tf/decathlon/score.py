"""The Visual Domain Decathlon: its domains, published results and score.

`S = sum_d 1000 (max(0, Emax_d - E_d) / Emax_d)^2`, where `E_d` is the test error on domain `d`, and
`Emax_d` twice the test error of full fine-tuning (Rebuffi, Bilen and Vedaldi, NIPS 2017).
"""

import dataclasses
from collections.abc import Mapping

from tailor_tf.support.errors import TailorError

# Names of the configurations in TensorFlow Datasets, and short names in published tables.
DOMAINS: Mapping[str, str] = {
    "imagenet12": "ImNet",
    "aircraft": "Airc",
    "cifar100": "C100",
    "daimlerpedcls": "DPed",
    "dtd": "DTD",
    "gtsrb": "GTSR",
    "vgg-flowers": "Flwr",
    "omniglot": "OGlt",
    "svhn": "SVHN",
    "ucf101": "UCF",
}

MOST_POINTS = 1000  # largest number of points of one domain


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table of results.

    Attributes:
        method: name of the method.
        accuracies: top-1 accuracy by domain, percent.
        parameters: mean number of parameters over the tasks; `None` if not published.
        multiply_adds: mean number of multiply-adds for one image over the tasks, likewise.
    """

    method: str
    accuracies: Mapping[str, float]
    parameters: float | None = None
    multiply_adds: float | None = None

    @property
    def mean(self) -> float:
        """Mean accuracy over the domains of the row, percent."""
        return sum(self.accuracies.values()) / len(self.accuracies)


def _published(method: str, *accuracies: float, **costs: float) -> Row:
    return Row(method, dict(zip(DOMAINS, accuracies, strict=True)), **costs)


FINE_TUNING = _published(
    "fine-tuning", 59.87, 60.34, 82.12, 92.82, 55.53, 97.53, 81.41, 87.69, 96.55, 51.20
)

# From Morgado and Vasconcelos (CVPR 2019, table 3); the last row from later work (2023).
PUBLISHED = (
    FINE_TUNING,
    _published("LwF", 59.87, 61.15, 82.23, 92.34, 58.83, 97.57, 83.05, 88.08, 96.10, 50.04),
    _published("Piggyback", 57.69, 65.29, 79.87, 96.99, 57.45, 97.27, 79.09, 87.63, 97.24, 47.48),
    _published("DAN", 57.74, 64.12, 80.07, 91.30, 56.54, 98.46, 86.05, 89.67, 96.77, 49.38),
    _published(
        "parallel residual adapters",
        *(60.32, 64.21, 81.91, 94.73, 58.83, 99.38, 84.68, 89.21, 96.54, 50.94),
        parameters=6.44e6,
        multiply_adds=0.96e9,
    ),
    _published(
        "NetTailor, as published",
        *(61.42, 75.07, 81.84, 94.68, 61.28, 99.52, 86.53, 90.09, 96.44, 49.54),
        parameters=3.67e6,
        multiply_adds=0.61e9,
    ),
    _published(
        "URL + parallel adapters",
        *(61.97, 77.17, 82.31, 97.58, 60.69, 98.75, 87.28, 90.40, 97.14, 51.89),
    ),
)


def points(domain: str, accuracy: float) -> float:
    """Points for a test accuracy.

    Args:
        domain: one of `DOMAINS`.
        accuracy: top-1 accuracy on its test images, percent.

    Raises:
        TailorError: an unknown domain, or an accuracy outside of 0..100.
    """
    if domain not in DOMAINS:
        raise TailorError(
            f"The decathlon has no domain {domain!r}; its domains are {', '.join(DOMAINS)}."
        )
    if not 0 <= accuracy <= 100:
        raise TailorError(f"The accuracy on {domain} is {accuracy}; expected 0 to 100 percent.")
    most = 2 * (100 - FINE_TUNING.accuracies[domain])
    return MOST_POINTS * (max(0.0, most - (100 - accuracy)) / most) ** 2


def score(accuracies: Mapping[str, float]) -> float:
    """The decathlon's score, from test accuracies in percent; a missing domain gets no points."""
    return sum(points(domain, accuracy) for domain, accuracy in accuracies.items())


def next_point(domain: str, accuracy: float) -> float:
    """Points that one more percentage point of accuracy would add."""
    return points(domain, min(accuracy + 1, 100)) - points(domain, accuracy)
