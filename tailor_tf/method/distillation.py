"""What a student is trained for: labels, the teacher's activations, low cost (eq. 11-12)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from tailor_tf.method import complexity
from tailor_tf.method.losses import accuracy, cross_entropy
from tailor_tf.method.student import gates, layer_weights
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.support.errors import TailorError

TEACHER_GRADIENTS = ("local", "end_to_end")


def mean_squared_error(a, b):
    """Mean over all elements of the squared difference of two tensors of one shape.

    Half precision is widened to float32.
    """
    precision = keras.backend.result_type(a.dtype, "float32")
    return ops.mean(ops.square(ops.cast(a, precision) - ops.cast(b, precision)))


def teacher_loss(
    student_nodes: Sequence[Any],
    teacher_nodes: Sequence[Any],
    student_logits: Any,
    teacher_logits: Any,
    num_layers: int,
    own_weights: Sequence[Sequence[keras.Variable]] | None = None,
) -> Any:
    """Distance of a student from its teacher, Ω (eq. 11, scaled as in the authors' program).

    Args:
        student_nodes: `x_l` of the student's layers, `[batch, height, width, channels]`
        teacher_nodes: `x_l^t` of the same layers.
        student_logits: `[batch, classes]`.
        teacher_logits: `[batch, classes]`.
        num_layers: `L` of the universal network.
        own_weights: per node, the weights that its error is to train; all before it by default.

    Returns:
        The mean squared errors of all nodes and of the logits, summed and divided by `num_layers`.
    """
    errors = [mean_squared_error(s, t) for s, t in zip(student_nodes, teacher_nodes, strict=True)]
    if own_weights is not None:
        errors = [_training_only(v, e) for v, e in zip(own_weights, errors, strict=True)]
    return (sum(errors) + mean_squared_error(student_logits, teacher_logits)) / num_layers


def _training_only(variables: Sequence[keras.Variable], error: Any) -> Any:
    """The value of `error`, its gradient that with respect to `variables` and no others.

    The layers before are not passed through a second time: only the way back from `error` to
    `variables` is.
    """
    import tensorflow as tf  # in a `tf.function` alone, which the training step is

    values = [variable.value for variable in variables]
    scale = 2.0**10  # or the elements' small shares of a mean would vanish in float16
    gradients = tf.gradients(error * scale, values)
    zero = sum(
        ops.sum((value - ops.stop_gradient(value)) * ops.stop_gradient(gradient / scale))
        for value, gradient in zip(values, gradients, strict=True)
    )
    return ops.stop_gradient(error) + zero


@dataclasses.dataclass(frozen=True)
class StudentObjective:
    """`L = cross-entropy + gamma1 E[C] + gamma2 Ω` (eq. 12); an objective of `training`.

    Attributes:
        teacher: the fine-tuned teacher, used in inference mode; folded, it is faster.
        architecture: the student's paths.
        costs: complexity of each path as a share of the universal network's, see
            `costs.path_shares`.
        complexity_weight: `gamma1`, a number or a variable.
        teacher_weight: `gamma2`.
        estimator: "paper" or "reachability", how E[C] is computed.
        teacher_gradient: "end_to_end" lets a node's distance from the teacher's train all layers
            before it, as the paper's text has it; with "local" it trains the proxies and gates of
            its own layer only, as the authors' program does. Values are the same.
        label_smoothing: probability mass of the target spread over all classes.
    """

    teacher: keras.Model
    architecture: Architecture
    costs: Mapping[Path, float]
    complexity_weight: float | keras.Variable = 0.3
    teacher_weight: float = 10.0
    estimator: str = "paper"
    teacher_gradient: str = "end_to_end"
    label_smoothing: float = 0.0

    def __post_init__(self):
        for what, given, known in (
            ("complexity estimator", self.estimator, complexity.ESTIMATORS),
            ("teacher_gradient", self.teacher_gradient, TEACHER_GRADIENTS),
        ):
            if given not in known:
                raise TailorError(f"Unknown {what} {given!r}; known are {', '.join(known)}.")

    def __call__(self, student, images, labels):
        """Returns the loss of one batch and its terms."""
        taught = self.teacher(images, training=False)
        learned = student(images, training=True)
        classification = cross_entropy(labels, learned["logits"], self.label_smoothing)
        layers, own_weights = self.architecture.layers, None
        if self.teacher_gradient == "local":
            own_weights = [layer_weights(student, layer) for layer in layers]
        distance = teacher_loss(
            learned["nodes"],
            [taught["nodes"][layer - 1] for layer in layers],
            learned["logits"],
            taught["logits"],
            self.architecture.num_blocks,
            own_weights,
        )
        expected = complexity.ESTIMATORS[self.estimator](
            gates(student, self.architecture), self.architecture, self.costs
        )
        loss = classification + self.complexity_weight * expected + self.teacher_weight * distance
        figures = {
            "accuracy": accuracy(labels, learned["logits"]),
            "teacher_loss": distance,
            "complexity": expected,
        }
        if isinstance(self.complexity_weight, keras.Variable):
            figures["complexity_weight"] = ops.convert_to_tensor(self.complexity_weight)
        return loss, figures
