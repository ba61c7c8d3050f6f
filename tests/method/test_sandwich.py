"""Networks within a student: what they compute, what they share, and which one a step trains."""

import numpy as np
import pytest

from tailor_tf.method.distillation import StudentObjective
from tailor_tf.method.pruning import prune
from tailor_tf.method.sandwich import WHOLE_SHARE, SandwichObjective
from tailor_tf.method.student import build_teacher, prune_student, subnet
from tailor_tf.network import costs, keys, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import full_architecture
from tailor_tf.training.loop import Trainer
from tailor_tf.training.recipe import Recipe
from tests.builders import depthwise_universal, images, random_student

CLASSES = 5


def levels_of(student):
    """Architectures with 0, 1 and 2 blocks removed."""
    gates = student.gate_values()
    full = student.architecture
    return [prune(full, gates, num_blocks=n, proxy_threshold=0.0).architecture for n in range(3)]


@pytest.fixture(params=["paper", "identities"])
def student(request, small, rng):
    """A student with random weights, with proxies only or with identities and own weights."""
    if request.param == "paper":
        return random_student(small, Architecture.full(4, 3), rng, CLASSES)
    network = depthwise_universal(rng)
    graph = network.graph
    options = {"max_skip": 1, "identities": True, "own": "depthwise", "own_head": True}
    return random_student(network, full_architecture(graph, depth=4, **options), rng, CLASSES)


def test_a_subnet_computes_what_a_pruned_student_computes(student, rng):
    x = images(student.universal.graph, rng)
    for kept in levels_of(student):
        ours, pruned = subnet(student, kept), prune_student(student, kept)
        for received, expected in zip(
            ours.model(x, training=False)["nodes"],
            pruned.model(x, training=False)["nodes"],
            strict=True,
        ):
            np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)
        logits = [network.model(x, training=False)["logits"] for network in (ours, pruned)]
        np.testing.assert_allclose(*logits, rtol=1e-5, atol=1e-5)
        assert ours.gate_values() == pytest.approx(pruned.gate_values())


def test_a_subnet_has_no_weights_of_its_own(student):
    owned = {id(variable) for variable in student.model.variables}
    model = subnet(student, levels_of(student)[2]).model
    assert {id(variable) for variable in model.variables} <= owned
    assert len(model.layers) < len(student.model.layers), "what is pruned is not computed"


def test_a_subnet_leaves_the_student_as_it_was(student, rng):
    x = images(student.universal.graph, rng)
    before = student.model(x, training=False)["logits"].numpy()
    names = list(weights.variables(student.model))
    subnet(student, levels_of(student)[1])
    np.testing.assert_array_equal(student.model(x, training=False)["logits"], before)
    assert list(weights.variables(student.model)) == names


@pytest.fixture
def objective(student):
    universal, full = student.universal, student.architecture
    teacher = build_teacher(universal, CLASSES, depth=full.depth, head_channels=full.head_channels)

    def of(network):
        shares = costs.path_shares(universal.graph, network.architecture, "multiply_adds")
        return StudentObjective(network, teacher, shares, complexity_weight=0.0)

    pruned = [subnet(student, kept) for kept in levels_of(student)[1:]]
    return SandwichObjective(of(student), [of(network) for network in pruned], [3.0, 1.0], seed=7)


def step_with(objective, wanted):
    """Goes on to the next step that trains a network."""
    while objective.variant != wanted:
        objective.after_step({})


def test_networks_are_drawn_in_proportion_to_their_cost(objective):
    drawn = []
    for _ in range(2_000):
        drawn.append(objective.variant)
        objective.after_step({})
    shares = np.bincount(drawn) / len(drawn)
    rest = 1 - WHOLE_SHARE
    np.testing.assert_allclose(shares, [WHOLE_SHARE, rest * 3 / 4, rest / 4], atol=0.04)


def test_the_draw_of_a_step_follows_from_its_number(objective):
    step_with(objective, 2)
    number, drawn = int(objective.step), []
    for _ in range(20):
        objective.after_step({})
        drawn.append(objective.variant)
    objective.state["step"].assign(number)  # as after a restart
    for variant in drawn:
        objective.after_step({})
        assert objective.variant == variant


def test_a_step_trains_the_weights_of_its_network_alone(objective, rng):
    """The others stay as they are to the last bit, statistics of pruned networks included."""
    student = objective.whole.student
    recipe = Recipe(1, batch_size=4, learning_rate=0.1, weight_decay=0.0)
    trainer = Trainer(objective, recipe, steps_per_epoch=8)
    x, labels = images(student.universal.graph, rng, batch=4), np.arange(4)
    for variant in (2, 0, 1):
        step_with(objective, variant)
        before = weights.arrays(student.model)
        trainer.step(x, labels)
        after = weights.arrays(student.model)
        changed = {key for key in after if (after[key] != before[key]).any()}
        networks = [objective.whole, *objective.pruned]
        used = set(weights.variables(networks[variant].model))
        assert changed, "it trains something"
        assert any(map(keys.is_statistic, changed)) == (variant == 0)
        if variant == 2:  # the first step: no momentum of others yet
            assert {key for key in changed if not keys.is_gate(key)} <= used
