"""What a student is trained for: labels, the teacher's activations, low cost (eq. 11-12)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from tailor_tf import complexity
from tailor_tf.errors import TailorError
from tailor_tf.graph import Architecture, Path
from tailor_tf.losses import accuracy, cross_entropy
from tailor_tf.student import gates


def mean_squared_error(a, b):
    """Mean over all elements of the squared difference of two tensors of one shape."""
    return ops.mean(ops.square(a - b))


def teacher_loss(
    student_nodes: Sequence[Any],
    teacher_nodes: Sequence[Any],
    student_logits: Any,
    teacher_logits: Any,
    num_layers: int,
) -> Any:
    """Distance of a student from its teacher, Ω (eq. 11, scaled as in the authors' program).

    Args:
        student_nodes: `x_l` of the student's layers, `[batch, height, width, channels]`
        teacher_nodes: `x_l^t` of the same layers.
        student_logits: `[batch, classes]`.
        teacher_logits: `[batch, classes]`.
        num_layers: `L` of the universal network.

    Returns:
        The mean squared errors of all nodes and of the logits, summed and divided by `num_layers`.
    """
    errors = [mean_squared_error(s, t) for s, t in zip(student_nodes, teacher_nodes, strict=True)]
    return (sum(errors) + mean_squared_error(student_logits, teacher_logits)) / num_layers


@dataclasses.dataclass(frozen=True)
class StudentObjective:
    """`L = cross-entropy + gamma1 E[C] + gamma2 Ω` (eq. 12); an objective of `training`.

    Attributes:
        teacher: the fine-tuned teacher, used in inference mode.
        architecture: the student's paths.
        costs: multiply-adds of each path as a share of the universal network's.
        complexity_weight: `gamma1`.
        teacher_weight: `gamma2`.
        estimator: "paper" or "reachability", how E[C] is computed.
        label_smoothing: probability mass of the target spread over all classes.
    """

    teacher: keras.Model
    architecture: Architecture
    costs: Mapping[Path, float]
    complexity_weight: float = 0.3
    teacher_weight: float = 10.0
    estimator: str = "paper"
    label_smoothing: float = 0.0

    def __post_init__(self):
        if self.estimator not in complexity.ESTIMATORS:
            raise TailorError(
                f"Unknown complexity estimator {self.estimator!r}; known are "
                f"{', '.join(complexity.ESTIMATORS)}."
            )

    def __call__(self, student, images, labels):
        """Returns the loss of one batch and its terms."""
        taught = self.teacher(images, training=False)
        learned = student(images, training=True)
        classification = cross_entropy(labels, learned["logits"], self.label_smoothing)
        distance = teacher_loss(
            learned["nodes"],
            [taught["nodes"][layer - 1] for layer in self.architecture.layers],
            learned["logits"],
            taught["logits"],
            self.architecture.num_blocks,
        )
        expected = complexity.ESTIMATORS[self.estimator](
            gates(student, self.architecture), self.architecture, self.costs
        )
        loss = classification + self.complexity_weight * expected + self.teacher_weight * distance
        return loss, {
            "accuracy": accuracy(labels, learned["logits"]),
            "teacher_loss": distance,
            "complexity": expected,
        }
