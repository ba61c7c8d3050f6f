"""Trainings of TensorFlow Model Optimization, as plain data."""

import dataclasses

from export.metadata import ArtifactError

METHODS = ("quantise", "sparsify", "cluster")
LEARNING_RATES = {"quantise": 1e-5, "sparsify": 1e-4, "cluster": 1e-4}


@dataclasses.dataclass(frozen=True)
class Job:
    """One training of a network under a constraint.

    Attributes:
        method: "quantise", train with int8 kernels and activations; "sparsify", train while the
            smallest weights of each kernel become zero; "cluster", train kernels of few distinct
            values.
        amount: share of weights that become zero, 0..1, or number of values per kernel.
        epochs: passes over the training images.
        learning_rate: learning rate of Adam; the method's in `LEARNING_RATES` by default.
        batch_size: images per step.
        integer_io: whether the int8 file takes and gives int8.
        seed: seed of order and augmentation.

    Raises:
        ArtifactError: an unknown method, or an amount outside of its range.
    """

    method: str
    amount: float = 0.0
    epochs: int = 3
    learning_rate: float | None = None
    batch_size: int = 32
    integer_io: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise ArtifactError(f"Unknown method {self.method!r}; known are {', '.join(METHODS)}.")
        if self.method == "sparsify" and not 0 < self.amount < 1:
            raise ArtifactError(f"sparsity is {self.amount}; expected a share between 0 and 1.")
        if self.method == "cluster" and not 2 <= self.amount <= 256:
            raise ArtifactError(f"clusters is {self.amount}; expected 2 to 256.")
