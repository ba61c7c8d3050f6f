"""Objective of a student: labels, the teacher's activations, low complexity (eq. 11-12)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from tailor_tf.method import complexity
from tailor_tf.method.complexity import DrivenWeight
from tailor_tf.method.losses import accuracy, cross_entropy
from tailor_tf.method.student import Student
from tailor_tf.network.architecture import Path
from tailor_tf.support.errors import TailorError

TEACHER_GRADIENTS = ("local", "end_to_end")
NODE_ERRORS = ("relative", "absolute")
LOGIT_ERRORS = ("divergence", "squared")
TEMPERATURE = 4.0  # of the softmax of both logits in the divergence


def mean_squared_error(a, b):
    """Mean over all elements of the squared difference of two tensors with the same shape.

    Tensors of half precision are converted to float32 first.
    """
    precision = keras.backend.result_type(a.dtype, "float32")
    return ops.mean(ops.square(ops.cast(a, precision) - ops.cast(b, precision)))


def divergence(student_logits: Any, teacher_logits: Any) -> Any:
    """Kullback-Leibler divergence of the student's classes from the teacher's, softened.

    `T^2 KL(softmax(teacher / T), softmax(student / T))` with `T = TEMPERATURE`, the mean over the
    batch (Hinton et al. 2015). The square keeps the size of its gradients independent of `T`.

    Args:
        student_logits: `[batch, classes]`.
        teacher_logits: `[batch, classes]`.
    """
    taught = ops.log_softmax(teacher_logits / TEMPERATURE)
    learned = ops.log_softmax(student_logits / TEMPERATURE)
    of_images = ops.sum(ops.exp(taught) * (taught - learned), axis=-1)
    return TEMPERATURE**2 * ops.mean(of_images)


def teacher_loss(
    student_nodes: Sequence[Any],
    teacher_nodes: Sequence[Any],
    student_logits: Any,
    teacher_logits: Any,
    num_layers: int,
    own_weights: Sequence[Sequence[keras.Variable]] | None = None,
    variances: Sequence[float] | None = None,
    logit_errors: str = "squared",
) -> Any:
    """Distance of a student from its teacher, Ω (eq. 11, scaled as in the authors' program).

    Args:
        student_nodes: `x_l` of the student's layers, each `[batch, height, width, channels]`.
        teacher_nodes: `x_l^t` of the same layers of the teacher, of the same shapes.
        student_logits: `[batch, classes]`.
        teacher_logits: `[batch, classes]`.
        num_layers: `L` of the universal network.
        own_weights: for each node, the weights that its error trains; by default all weights
            before it.
        variances: variance of each teacher's node, which its error is divided by; `None` for the
            paper's errors.
        logit_errors: "squared" adds the mean squared error of the logits, as in the paper;
            "divergence" leaves it out, for a `divergence` beside this loss.

    Returns:
        The mean squared errors of all nodes and of the logits, summed and divided by `num_layers`.
    """
    errors = [mean_squared_error(s, t) for s, t in zip(student_nodes, teacher_nodes, strict=True)]
    if variances is not None:
        errors = [error / variance for error, variance in zip(errors, variances, strict=True)]
    if own_weights is not None:
        errors = [_training_only(v, e) for v, e in zip(own_weights, errors, strict=True)]
    if logit_errors == "squared":
        errors.append(mean_squared_error(student_logits, teacher_logits))
    return sum(errors) / num_layers


def _training_only(variables: Sequence[keras.Variable], error: Any) -> Any:
    """The value of `error`, with gradients for `variables` only.

    The gradients are computed here, so that the backward pass runs from `error` to `variables`
    only, not through the layers before them.
    """
    import tensorflow as tf  # `tf.gradients` works only in a `tf.function`, as the training step

    values = [variable.value for variable in variables]
    scale = 2.0**10  # otherwise the small gradients of a mean would become 0 in float16
    gradients = tf.gradients(error * scale, values)
    zero = sum(
        ops.sum((value - ops.stop_gradient(value)) * ops.stop_gradient(gradient / scale))
        for value, gradient in zip(values, gradients, strict=True)
    )
    return ops.stop_gradient(error) + zero


@dataclasses.dataclass(frozen=True)
class StudentObjective:
    """Objective of a student, for `training.loop`: `L = cross-entropy + gamma1 E[C] + gamma2 Ω`.

    Equation 12 of the paper.

    Attributes:
        student: the student to train.
        teacher: the fine-tuned teacher, in inference mode; a folded one is faster.
        costs: complexity of each path, divided by the universal network's, see
            `costs.path_shares`.
        complexity_weight: `gamma1`, a number or a `DrivenWeight`.
        teacher_weight: `gamma2`.
        estimator: estimator of E[C], "paper" or "reachability".
        teacher_gradient: layers that the distance of a node from the teacher's trains. With
            "end_to_end", all layers before the node, as in the paper's text; with "local", only
            the proxies and gates of the node's own layer, as in the authors' program. The value of
            the loss is the same.
        label_smoothing: probability that is spread evenly over all classes, 0..1.
        node_variances: variance of each of the teacher's nodes `x_1..x_L`. A node's error is
            divided by it, so that `gamma2` means the same on networks with nodes of any size.
            `None` for the errors themselves, as in the paper.
        logit_errors: "squared" has the squared error of the logits in Ω, as in the paper;
            "divergence" adds the `divergence` of the classes to the loss instead.
        variant: always 0.

    Raises:
        TailorError: an unknown `estimator`, `teacher_gradient` or `logit_errors`.
    """

    student: Student
    teacher: keras.Model
    costs: Mapping[Path, float]
    complexity_weight: float | DrivenWeight = 0.3
    teacher_weight: float = 10.0
    estimator: str = "paper"
    teacher_gradient: str = "end_to_end"
    label_smoothing: float = 0.0
    node_variances: Sequence[float] | None = None
    logit_errors: str = "squared"
    variant: ClassVar[int] = 0

    def __post_init__(self):
        for what, given, known in (
            ("logit_errors", self.logit_errors, LOGIT_ERRORS),
            ("complexity estimator", self.estimator, complexity.ESTIMATORS),
            ("teacher_gradient", self.teacher_gradient, TEACHER_GRADIENTS),
        ):
            if given not in known:
                raise TailorError(f"Unknown {what} {given!r}; known are {', '.join(known)}.")

    @property
    def model(self) -> keras.Model:
        """The student's model."""
        return self.student.model

    @property
    def state(self) -> Mapping[str, keras.Variable]:
        """The variables of a driven complexity weight, by name."""
        return self.complexity_weight.state if self._is_driven else {}

    @property
    def _is_driven(self) -> bool:
        return isinstance(self.complexity_weight, DrivenWeight)

    def after_step(self, figures: Mapping[str, float]) -> None:
        """Adjusts a driven complexity weight by the E[C] of the step."""
        if self._is_driven:
            self.complexity_weight.update(figures["complexity"])

    def __call__(self, images, labels, variant=0):
        """Returns the loss of one batch, a scalar, and its terms by name."""
        architecture = self.student.architecture
        taught = self.teacher(images, training=False)
        learned = self.model(images, training=True)
        classification = cross_entropy(labels, learned["logits"], self.label_smoothing)
        layers, own_weights = architecture.layers, None
        if self.teacher_gradient == "local":
            own_weights = [self.student.layer_weights(layer) for layer in layers]
        distance = teacher_loss(
            learned["nodes"],
            [taught["nodes"][layer - 1] for layer in layers],
            learned["logits"],
            taught["logits"],
            architecture.depth,
            own_weights,
            self.node_variances and [self.node_variances[layer - 1] for layer in layers],
            self.logit_errors,
        )
        expected = complexity.ESTIMATORS[self.estimator](
            self.student.gates(), architecture, self.costs
        )
        figures = {
            "accuracy": accuracy(labels, learned["logits"]),
            "teacher_loss": distance,
            "complexity": expected,
        }
        if self.logit_errors == "divergence":
            figures["divergence"] = divergence(learned["logits"], taught["logits"])
            classification += figures["divergence"]
        weight = self.complexity_weight
        if self._is_driven:
            weight = weight.variable
            figures["complexity_weight"] = ops.convert_to_tensor(weight)
        return classification + weight * expected + self.teacher_weight * distance, figures
