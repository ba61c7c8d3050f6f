"""Training of a student and of its pruned networks together, all with the same weights.

In each step, one network is trained: the student with all its paths, or one that is pruned to a
level. Every level then classifies without a fine-tuning of its own, as the networks within a
network of slimmable width (Yu and Huang 2019, "universally slimmable networks", who name the
sandwich rule) or of any size (Cai et al. 2020, "Once for all"). Not in the paper.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from tailor_tf.method.distillation import StudentObjective
from tailor_tf.network.layers import statistics_momentum

WHOLE_SHARE = 0.25  # of the steps: those in which the student with all its paths is trained


@dataclasses.dataclass(frozen=True, eq=False)
class SandwichObjective:
    """Objective of a student and of its pruned networks, one of which is drawn for each step.

    Moving statistics of batch norms are those of the student with all its paths: the pruned
    networks need their own ones afterwards.

    Attributes:
        whole: the objective of the student with all its paths.
        pruned: the objectives of its pruned networks, which are subnets of it.
        costs: cost of each of `pruned`, in any unit. They are drawn in proportion to it: the
            leanest networks, which are out of reach for most tasks, should not cost the others.
        seed: seed of the draws.
        step: number of the step, a variable that is saved with the training.
    """

    whole: StudentObjective
    pruned: Sequence[StudentObjective]
    costs: Sequence[float]
    seed: int
    step: keras.Variable = dataclasses.field(
        default_factory=lambda: keras.Variable(0, dtype="int32", trainable=False, name="step"),
        init=False,
    )

    @property
    def model(self) -> keras.Model:
        """The student's model, which has all weights."""
        return self.whole.model

    @property
    def state(self) -> Mapping[str, keras.Variable]:
        """The number of the step, by name."""
        return {"step": self.step}

    @property
    def variant(self) -> int:
        """The network that this step trains: 0 for the student, else a position in `pruned` + 1."""
        step = int(np.array(self.step))  # also of a variable with a copy on each device
        random = np.random.default_rng([self.seed, step])
        if not self.pruned or random.random() < WHOLE_SHARE:
            return 0
        return 1 + int(random.choice(len(self.pruned), p=np.divide(self.costs, sum(self.costs))))

    def after_step(self, figures: Mapping[str, float]) -> None:
        """Goes on to the next step."""
        self.step.assign(self.step + 1)

    def __call__(self, images, labels, variant=0):
        """Returns the loss of one network and batch, a scalar, and its terms by name."""
        if variant == 0:
            return self.whole(images, labels)
        with statistics_momentum(1.0):
            return self.pruned[variant - 1](images, labels)
