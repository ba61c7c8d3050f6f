"""Objectives of a training: a model and the loss to minimise."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import keras

from tailor_tf.method.losses import accuracy, cross_entropy


class Objective(Protocol):
    """A model and its loss, in one object so that they cannot be mixed up.

    Attributes:
        model: the model to train, changed in place.
        state: further variables, by name, that are saved and restored together with the model.
        variant: number of the loss that the next step computes; each is compiled by itself.
    """

    model: keras.Model
    state: Mapping[str, keras.Variable]
    variant: int

    def __call__(self, images: Any, labels: Any, variant: int = 0) -> tuple[Any, dict[str, Any]]:
        """Computes the loss of a batch.

        Args:
            images: float `[batch, height, width, 3]`, normalised.
            labels: integers `[batch]`.
            variant: number of the loss, as the attribute had it before the step.

        Returns:
            The loss, a scalar, and further scalars to log, by name.
        """

    def after_step(self, figures: Mapping[str, float]) -> None:
        """Called after each step with the loss and the scalars; may change `state`."""


@dataclasses.dataclass(frozen=True)
class Classification:
    """The objective of source networks, teachers and baselines: cross-entropy of the logits.

    Attributes:
        model: the model, with an output `"logits"`.
        label_smoothing: probability that is spread evenly over all classes, 0..1.
        state: empty.
        variant: always 0.
    """

    model: keras.Model
    label_smoothing: float = 0.0
    state: Mapping[str, keras.Variable] = dataclasses.field(default_factory=dict, init=False)
    variant: ClassVar[int] = 0

    def __call__(self, images, labels, variant=0):
        """Returns the loss of one batch, and its accuracy."""
        logits = self.model(images, training=True)["logits"]
        loss = cross_entropy(labels, logits, self.label_smoothing)
        return loss, {"accuracy": accuracy(labels, logits)}

    def after_step(self, figures: Mapping[str, float]) -> None:
        """Does nothing: there is no state."""
