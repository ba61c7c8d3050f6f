"""Settings of an optimisation: optimizer, learning rates, schedules, penalties."""

import dataclasses
import math
from typing import Any

import keras

from tailor_tf.support.errors import TailorError

SCHEDULES = ("step", "cosine")
OPTIMIZERS = ("sgd", "adam")
CAUTIOUS_NORM = 1.0  # of the gradients in a second try
_LATER = {"optimizer": "sgd", "clip_norm": 0.0}  # settings that earlier versions lack
ADAM_SQUARES = 0.99  # decay of the mean of squared gradients: trainings have few hundred steps


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of an optimizer, its weight decay and its learning-rate schedule.

    Attributes:
        epochs: number of passes over the training images.
        batch_size: images per step.
        learning_rate: learning rate at the start, or after the warm-up.
        schedule: "step" multiplies the learning rate by `decay` every `decay_epochs`; "cosine"
            lowers it to zero over all epochs.
        decay: factor of the "step" schedule.
        decay_epochs: epochs between the steps of the "step" schedule.
        warmup_epochs: epochs in which the learning rate rises linearly from zero, "cosine" only.
        optimizer: "sgd" with momentum, as in the paper, or "adam" (Kingma and Ba 2015), whose steps
            do not depend on the size of a weight's gradients.
        momentum: momentum of SGD; of Adam, the decay of the mean of the gradients.
        weight_decay: factor `w` of `gradient + w * weight`, added before the momentum, as in
            PyTorch's SGD; gate logits have no weight decay.
        label_smoothing: probability that is spread evenly over all classes, 0..1.
        clip_norm: largest norm of all gradients together, to which larger ones are scaled down;
            0 for no limit.

    Raises:
        TailorError: an unknown schedule or optimizer, or a number that must be positive is not.
    """

    epochs: int
    _: dataclasses.KW_ONLY
    batch_size: int = 32
    learning_rate: float = 0.1
    schedule: str = "step"
    decay: float = 0.1
    decay_epochs: int = 8
    warmup_epochs: float = 0.0
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    clip_norm: float = 0.0

    def __post_init__(self):
        for name, known in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
            received = getattr(self, name)
            if received not in known:
                raise TailorError(f"Unknown {name} {received!r}; known are {', '.join(known)}.")
        for name in ("epochs", "batch_size", "learning_rate", "decay_epochs"):
            if not 0 < getattr(self, name) < math.inf:  # nor is "not a number"
                raise TailorError(f"{name} is {getattr(self, name)}; expected a positive number.")

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON values; those that earlier versions lack only where they matter."""
        settings = dataclasses.asdict(self)
        return {name: value for name, value in settings.items() if value != _LATER.get(name, ...)}

    def cautious(self) -> "Recipe":
        """The recipe for a second try, if the loss did not stay finite with this one."""
        return dataclasses.replace(
            self, learning_rate=self.learning_rate / 3, clip_norm=CAUTIOUS_NORM
        )

    def make_optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        """A new optimizer with the schedule; weight decay is left to the training loop."""
        rates = self.learning_rates(steps_per_epoch)
        limit = {"global_clipnorm": self.clip_norm or None}
        if self.optimizer == "adam":
            return keras.optimizers.Adam(rates, beta_1=self.momentum, beta_2=ADAM_SQUARES, **limit)
        return keras.optimizers.SGD(rates, momentum=self.momentum, **limit)

    def learning_rates(self, steps_per_epoch: int):
        """The schedule as a Keras object, from the number of the step to the learning rate."""
        schedules = keras.optimizers.schedules
        if self.schedule == "cosine":
            warmup = round(self.warmup_epochs * steps_per_epoch)
            return schedules.CosineDecay(
                0.0 if warmup else self.learning_rate,
                max(self.epochs * steps_per_epoch - warmup, 1),
                warmup_target=self.learning_rate if warmup else None,
                warmup_steps=warmup,
            )
        drops = range(1, math.ceil(self.epochs / self.decay_epochs))
        if not drops:
            return schedules.ExponentialDecay(self.learning_rate, 1, 1.0)
        return schedules.PiecewiseConstantDecay(
            [drop * self.decay_epochs * steps_per_epoch - 1 for drop in drops],
            [self.learning_rate * self.decay**drop for drop in (0, *drops)],
        )
