"""The student's objective: which weights each term trains, and the weight that is driven."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tailor_tf.method import distillation
from tailor_tf.method.complexity import DrivenWeight
from tailor_tf.method.distillation import StudentObjective
from tailor_tf.method.student import build_student, build_teacher
from tailor_tf.network.architecture import Architecture
from tailor_tf.training.loop import Trainer
from tailor_tf.training.recipe import Recipe
from tests.builders import images, random_student

CLASSES = 5
FULL = Architecture.full(4, 3)
SHARES = dict.fromkeys(FULL.paths, 0.1)


def _own_layer(path, layer):
    """Whether a variable is a proxy's or a gate of `layer`."""
    return path.startswith((f"block{layer}_proxy", f"block{layer}_gate/"))


def _gradients(student, x, loss):
    """Gradient of a function of the student's nodes and logits, by variable; `None` for none."""

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            value = loss(**student(x, training=True))
        return tape.gradient(value, {v.path: v.value for v in student.trainable_variables})

    return gradients()


class TestTeacherGradient:
    @pytest.fixture
    def case(self, small, rng):
        architecture = Architecture.full(4, 3)
        student = random_student(small, architecture, rng, CLASSES)
        return student, architecture, images(small.graph, rng, 4)

    @pytest.mark.parametrize("local", [False, True])
    def test_a_node_trains_its_layer_alone_or_all_before(self, case, local):
        student, architecture, x = case
        own_weights = [student.layer_weights(layer) for layer in architecture.layers]

        def distance(nodes, logits):
            targets = [*nodes[:2], tf.ones_like(nodes[2]), nodes[3]]
            weights = own_weights if local else None
            return distillation.teacher_loss(nodes, targets, logits, logits, 4, weights)

        def error(nodes, logits):
            return distillation.mean_squared_error(nodes[2], tf.ones_like(nodes[2])) / 4

        expected = _gradients(student.model, x, error)
        for path, gradient in _gradients(student.model, x, distance).items():
            reached = any(_own_layer(path, layer) for layer in ([3] if local else [1, 2, 3]))
            wanted = expected[path] if reached else np.zeros(gradient.shape)
            np.testing.assert_allclose(gradient, wanted, rtol=1e-3, atol=1e-6, err_msg=path)

    def test_modes_have_the_same_values(self, case, small):
        student, architecture, x = case
        teacher, shares = build_teacher(small, CLASSES), dict.fromkeys(architecture.paths, 0.1)
        found = []
        for mode in distillation.TEACHER_GRADIENTS:
            objective = distillation.StudentObjective(
                student, teacher, shares, teacher_gradient=mode
            )
            values = tf.function(objective.__call__)(x, np.arange(4))
            found.append(tf.nest.flatten(values))
        np.testing.assert_allclose(*found, rtol=1e-5)


class TestNodeErrors:
    def test_relative_errors_are_divided_by_the_variance_of_the_node(self, rng):
        shapes = [(2, 4, 4, 3), (2, 2, 2, 5)]
        ours, theirs = ([rng.normal(size=shape) for shape in shapes] for _ in range(2))
        logits, targets = rng.normal(size=(2, 2, 7))
        found = distillation.teacher_loss(
            ours, theirs, logits, targets, num_layers=2, variances=[0.5, 10.0]
        )
        one, two = (np.mean((a - b) ** 2) for a, b in zip(ours, theirs, strict=True))
        expected = (one / 0.5 + two / 10.0 + np.mean((logits - targets) ** 2)) / 2
        assert float(found) == pytest.approx(expected)

    def test_a_pruned_students_nodes_have_their_own_variances(self, small, rng):
        left = FULL.without([*FULL.into(2), *FULL.out_of(2)])
        x, student = images(small.graph, rng, 4), build_student(small, left, CLASSES)
        teacher, shares = build_teacher(small, CLASSES), dict.fromkeys(left.paths, 0.1)
        variances = [0.5, 1e-9, 2.0, 4.0]  # no node 2, so that its variance does not count
        objective = StudentObjective(student, teacher, shares, node_variances=variances)
        found = float(objective(x, np.arange(4))[1]["teacher_loss"])
        learned, taught = student.model(x, training=True), teacher(x, training=False)
        errors = [
            np.mean((learned["nodes"][i] - taught["nodes"][layer - 1]) ** 2) / variances[layer - 1]
            for i, layer in enumerate((1, 3, 4))
        ]
        logits = np.mean((learned["logits"] - taught["logits"]) ** 2)
        assert found == pytest.approx((sum(errors) + logits) / 4, rel=1e-4)


class TestDrivenWeight:
    @staticmethod
    def _objective(small, weight):
        keras.utils.set_random_seed(0)
        student = build_student(small, FULL, CLASSES)
        return StudentObjective(student, build_teacher(small, CLASSES), SHARES, weight)

    def test_a_number_has_no_state_and_stays(self, small):
        objective = self._objective(small, 0.3)
        objective.after_step({"complexity": 1e6})
        assert objective.state == {} and objective.complexity_weight == 0.3

    def test_it_moves_with_the_complexity_of_a_step_and_counts_in_the_loss(self, small, rng):
        weight = DrivenWeight(0.3, 0.1, steps=10)
        objective, x = self._objective(small, weight), images(small.graph, rng, 4)
        before, figures = objective(x, np.arange(4))
        assert float(figures["complexity_weight"]) == pytest.approx(0.3)
        objective.after_step({name: float(value) for name, value in figures.items()})
        moved = float(weight.variable)
        assert moved > 0.3, "E[C] is above the target"
        after, figures = objective(x, np.arange(4))
        difference = (moved - 0.3) * float(figures["complexity"])
        assert float(after - before) == pytest.approx(difference, rel=0.02)

    def test_a_stopped_training_goes_on_with_the_weight_that_it_had(self, small, rng, tmp_path):
        x = images(small.graph, rng, 4)
        batches = tf.data.Dataset.from_tensors((x, np.arange(4, dtype=np.int32)))

        def train(path, epochs):
            weight = DrivenWeight(0.3, 0.1, steps=4)
            objective = self._objective(small, weight)
            recipe = Recipe(4, batch_size=4, learning_rate=0.01)
            trainer = Trainer(objective, recipe, 1, checkpoint=tmp_path / path)
            trainer.restore()
            trainer.fit(lambda **_: batches, stop=lambda history: len(history) == epochs)
            return [np.array(variable) for variable in weight.state.values()]

        straight = train("straight", 4)
        train("cut", 2)
        resumed = train("cut", 4)
        np.testing.assert_array_equal(resumed, straight)
        assert len(straight) == 2 and not np.allclose(straight, [0.3, np.log(0.3)])


def test_unknown_names(small):
    message = r"Unknown teacher_gradient 'global'; known are local, end_to_end"
    with pytest.raises(ValueError, match=message):
        StudentObjective(None, None, {}, teacher_gradient="global")
    with pytest.raises(ValueError, match=r"Unknown complexity estimator 'exact'; known are paper"):
        StudentObjective(None, None, {}, estimator="exact")
