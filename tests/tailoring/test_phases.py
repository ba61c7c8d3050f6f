"""Networks of the phases: what each one starts with and is trained for, without any training."""

import dataclasses
import types

import numpy as np
import pytest

from tailor_tf.method.complexity import DrivenWeight
from tailor_tf.method.pruning import Pruning
from tailor_tf.network import keys, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.records import phase as names
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.tailoring.phases import LevelPlan, Phases
from tailor_tf.tailoring.run_costs import RunCosts
from tailor_tf.tailoring.settings import Settings
from tests import builders

FULL = Architecture.full(4, 3)
CLASSES = 5
VARIANCES = [0.5, 1.0, 2.0, 4.0]  # of the teacher's nodes


class FakeTrainer:
    """Draws new weights instead of training, and keeps what it was asked for."""

    def __init__(self, rng):
        self.task = types.SimpleNamespace(train=range(640))
        self.rng = rng
        self.asked = {}  # by phase: objective, recipe, settings, cost, weights before
        self.prunings = {}  # by phase: student, restored paths

    def train(self, phase, objective, recipe, settings, cost, *, student=None, stop=None, tries=1):
        before = weights.arrays(objective.model)
        asked = {"objective": objective, "recipe": recipe, "settings": settings, "cost": cost}
        self.asked[phase] = types.SimpleNamespace(
            **asked, before=before, stop=stop, student=student
        )
        builders.randomise(objective.model, self.rng)

    def node_variances(self, model):
        assert len(model.output["nodes"]) == len(VARIANCES), "those of the teacher"
        return VARIANCES

    def estimate_statistics(self, model):
        self.estimated = model

    def record_order(self, phase, student, teacher, costs):
        self.ranked = (phase, student, teacher, costs)

    def record_pruning(self, phase, student, settings, cost, restored):
        self.prunings[phase] = (student, restored)


@pytest.fixture
def make(small, rng):
    def make(settings=Settings()):  # noqa: B008  frozen
        costs = RunCosts(small.graph, CLASSES, FULL, settings)
        depends_on = types.SimpleNamespace(of=lambda phase: {"of": phase.name})
        return Phases(small, settings, depends_on, costs, FakeTrainer(rng))

    return make


def plan(level, architecture, start=None, together=()):
    return LevelPlan(Level(level), Pruning(architecture), start, together)


def kernels(universal):
    return {k: v for k, v in weights.arrays(universal.model).items() if not keys.is_classifier(k)}


def test_teacher_starts_as_the_universal_network_and_is_frozen_afterwards(make, small):
    phases = make()
    teacher = phases.teacher()
    asked = phases.trainer.asked[names.TEACHER]
    for key, value in kernels(small).items():
        np.testing.assert_array_equal(asked.before[key], value)
    assert not teacher.trainable_variables
    assert phases.teacher() is teacher, "it is trained once"


def test_student_starts_with_the_teachers_classifier(make):
    phases = make()
    teacher = phases.teacher()
    phases.student()
    before = phases.trainer.asked[names.STUDENT].before
    found = weights.arrays(teacher)
    heads = [key for key in before if keys.is_head(key)]
    assert {"classifier/kernel", "classifier/bias", "head_bn/gamma"} <= set(heads)
    for key in heads:
        np.testing.assert_array_equal(before[key], found[key], err_msg=key)


def test_student_is_trained_to_be_cheap_and_like_its_teacher(make, small):
    settings = Settings(teacher_weight=7.0, complexity_weight=0.7, teacher_gradient="local")
    phases = make(settings)
    phases.student()
    objective = phases.trainer.asked[names.STUDENT].objective
    assert objective.student.architecture == FULL
    assert (objective.complexity_weight, objective.teacher_weight) == (0.7, 7.0)
    assert (objective.teacher_gradient, objective.estimator) == ("local", "paper")
    assert objective.costs == phases.costs.path_shares(FULL)
    x = builders.images(small.graph, np.random.default_rng(0))
    expected = phases.teacher()(x, training=False)["logits"]
    np.testing.assert_allclose(objective.teacher(x)["logits"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_errors_of_nodes_are_relative_to_the_teachers_variance(make, kind):
    phases = make(Settings(node_errors=kind))
    phases.student()
    found = phases.trainer.asked[names.STUDENT].objective.node_variances
    assert found == {"relative": VARIANCES, "absolute": None}[kind]


def test_a_driven_weight_has_the_budget_as_its_target(make):
    settings = Settings(complexity_weight=None, budget={"multiply_adds": 10_000})
    phases = make(settings)
    phases.student()
    weight = phases.trainer.asked[names.STUDENT].objective.complexity_weight
    assert isinstance(weight, DrivenWeight)
    assert weight.target == phases.costs.complexity_target()


def test_pruned_student_has_the_weights_of_the_level_that_it_starts_from(make):
    phases = make(dataclasses.replace(Settings(), proxy_threshold=0.0))
    fewer = FULL.without(FULL.into(2)[:1])
    fewest = fewer.without(FULL.into(3)[:1])
    first = plan(1, fewer)
    tuned, student = phases.finetuned(first), phases.student()
    pruned = phases.pruned(plan(2, fewest, first))
    for key, value in pruned.task_weights().items():
        if not keys.is_gate(key):
            np.testing.assert_array_equal(value, weights.arrays(tuned.model)[key])
    changed = weights.arrays(student.model)
    assert any((changed[k] != v.numpy()).any() for k, v in tuned.task_weights().items())
    assert phases.trainer.prunings[names.pruned(Level(2))][0].architecture == fewest


def test_levels_that_are_trained_together_start_from_the_student(make):
    phases = make()
    fewer = FULL.without(FULL.into(2)[:1])
    fewest = fewer.without(FULL.into(3)[:1])
    levels = (fewer, fewest)
    student = phases.student()
    own = {k: v for k, v in weights.arrays(student.model).items() if k in student.own_keys}
    together = phases.sandwich(levels)
    asked = phases.trainer.asked[names.SANDWICH]
    assert together.architecture == FULL, "any level may have to keep any path"
    assert [o.student.architecture for o in asked.objective.pruned] == [fewer, fewest]
    assert {o.complexity_weight for o in asked.objective.pruned} == {0.0}
    for key, value in own.items():
        if not keys.is_gate(key) and key in asked.before:
            np.testing.assert_array_equal(asked.before[key], value, err_msg=key)
        np.testing.assert_array_equal(weights.arrays(student.model)[key], value, err_msg=key)
    pruned = phases.pruned(plan(1, fewest, together=levels))
    assert phases.trainer.estimated is pruned.model, "statistics of its own"
    for key, variable in pruned.task_weights().items():
        if not keys.is_gate(key):
            np.testing.assert_array_equal(variable, weights.arrays(together.model)[key])


def test_fine_tuning_is_without_the_complexity_term(make):
    phases = make()
    tuned = phases.finetuned(plan(1, FULL), stop=lambda curve: True)
    asked = phases.trainer.asked[names.finetuned(Level(1))]
    assert asked.objective.complexity_weight == 0.0
    assert asked.recipe is phases.settings.finetune
    assert asked.stop([0.5])
    assert tuned is phases.finetuned(plan(1, FULL)), "it is tuned once"


@pytest.mark.parametrize(
    ("phase", "recipe"),
    [(names.TEACHER, "teacher"), (names.STUDENT, "student"), (Phase("linear"), "baseline")],
)
def test_each_phase_has_its_own_recipe_settings_and_cost(make, phase, recipe):
    phases = make()
    phases.student()
    phases.baseline(Phase("linear"))
    asked = phases.trainer.asked[phase]
    assert asked.recipe is getattr(phases.settings, recipe)
    assert asked.settings == {"of": phase.name}
    whole = phases.costs.network()
    assert (asked.cost.multiply_adds > whole.multiply_adds) == (phase == names.STUDENT)


def test_networks_that_end_early_are_fine_tuned_as_the_teacher_is(make):
    phases = make()
    phases.baseline(names.truncated(2))
    asked = phases.trainer.asked[names.truncated(2)]
    assert asked.recipe is phases.settings.teacher
    assert len(asked.objective.model.output["nodes"]) == 2
    assert asked.cost == phases.costs.network(2)


def test_a_probe_is_a_student_without_proxies_for_a_few_epochs(make):
    phases = make(Settings(own="affine", own_head=False))
    phases.probe(3)
    asked = phases.trainer.asked[names.probe(3)]
    recipe = phases.settings.student
    assert (asked.recipe.epochs, asked.recipe.schedule) == (recipe.epochs // 4, "cosine")
    assert asked.recipe.learning_rate == recipe.learning_rate
    model = asked.objective.model
    assert len(model.output["nodes"]) == 3
    assert not [layer.name for layer in model.layers if "proxy" in layer.name]
    trained = {variable.path.split("/")[-1] for variable in model.trainable_variables}
    assert trained == {"gamma", "beta", "logits", "kernel", "bias"}  # the last two: classifier
    assert asked.cost.multiply_adds < phases.costs.network().multiply_adds


def test_a_probe_and_a_teacher_that_end_early_have_a_head_of_their_own(make):
    phases = make()
    shallow = dataclasses.replace(phases, costs=phases.costs.at(3))
    shallow.probe(3)
    probed = shallow.trainer.asked[names.probe(3)].objective.model
    for model in (probed, shallow.teacher()):
        channels = phases.universal.graph.own_head_channels(3)
        assert model.get_layer("exit_conv").kernel.shape[-1] == channels


def test_a_teacher_is_as_deep_as_its_student(make):
    phases = make()
    shallow = dataclasses.replace(phases, costs=phases.costs.at(3))
    shallow.trainer.node_variances = lambda model: VARIANCES[:3]
    student, teacher = shallow.student(), shallow.teacher()
    assert student.architecture.depth == len(teacher.output["nodes"]) == 3
