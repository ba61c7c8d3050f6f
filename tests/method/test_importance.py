"""Importance of blocks, against pruned networks and against all orders."""

import numpy as np
import pytest

from tailor_tf.method.importance import left_out, removal_order
from tailor_tf.method.student import prune_student
from tailor_tf.network.architecture import Path
from tailor_tf.network.graph import full_architecture
from tests import builders


@pytest.fixture
def student(rng):
    """A student of five residual blocks, with identities, own weights and proxies."""
    universal = builders.depthwise_universal(rng)
    full = full_architecture(universal.graph, identities=True, own="depthwise")
    return builders.random_student(universal, full, rng)


@pytest.fixture
def loss(student, rng):
    """Loss of the student's model, or of another one: mean squared distance from random logits."""
    x = builders.images(student.universal.graph, rng, batch=8)
    wanted = rng.normal(size=(8, 5))

    def loss(model=student.model):
        return float(np.mean(np.square(model(x, training=False)["logits"].numpy() - wanted)))

    return loss


def test_a_student_computes_as_if_it_was_pruned(student, loss):
    before = loss()
    gone = [Path.block(2), Path.block(3), Path.proxy(3, source=0)]
    with left_out(student, gone):
        received = loss()
    pruned = prune_student(student, student.architecture.without(gone))
    assert received == pytest.approx(loss(pruned.model), rel=1e-5)
    assert abs(received - before) > 1e-3
    assert loss() == before, "its gates are as before"


def test_each_block_removed_is_the_one_that_is_missed_least(student, loss):
    costs = {path: 1.0 + path.target % 3 for path in student.architecture.paths}
    order = removal_order(student, loss, costs)
    assert sorted(path.target for path in order) == [1, 2, 3, 4, 5]
    # The first one is found by leaving out each one; it is looked at again only while it is best.
    before = loss()
    increases = {}
    for path in order:
        with left_out(student, [path]):
            increases[path] = (loss() - before) / costs[path]
    assert order[0] == min(increases, key=increases.get)


def test_removal_is_greedy_if_blocks_are_missed_more_and_more(student):
    """A loss that is known for every set of blocks: the order is that of all comparisons."""
    worth = {Path.block(layer): value for layer, value in zip(range(1, 6), (5, 2, 9, 1, 4))}  # noqa: B905
    gone = set()

    def loss():
        now = {
            path
            for layer in student.architecture.layers
            for path in student.architecture.into(layer)[:1]
            if student.gate_values()[path] == 0
        }
        gone.clear()
        gone.update(now)
        return sum(worth[path] for path in gone) * (1 + len(gone))

    costs = dict.fromkeys(student.architecture.paths, 1.0)
    expected = sorted(worth, key=worth.get)
    assert list(removal_order(student, loss, costs)) == expected


def test_blocks_without_another_path_are_last(rng):
    universal = builders.depthwise_universal(rng)
    full = full_architecture(universal.graph)
    alone = full.without(path for path in full.into(3) if not path.universal)
    student = builders.random_student(universal, alone, rng)
    costs = dict.fromkeys(alone.paths, 1.0)
    assert removal_order(student, lambda: 0.0, costs)[-1] == Path.block(3)
