"""Names of weights, and whose they are."""

import keras
import pytest
from keras import layers as kl

from tailor_tf.backbones.cutting import cut
from tailor_tf.backbones.universal import universal_from_tensors
from tailor_tf.method.student import build_student
from tailor_tf.network import keys, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.keys import Owner
from tests import builders


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("stem_conv/kernel", Owner.UNIVERSAL),
        ("block12_bn2/gamma", Owner.UNIVERSAL),
        ("block12_bn2/moving_variance", Owner.STATISTIC),
        ("block3_proxy1_conv/kernel", Owner.PROXY),
        ("block3_proxy1_conv2/kernel", Owner.PROXY),
        ("block3_proxy1_bn1/moving_mean", Owner.PROXY),
        ("block3_gate/logits", Owner.GATE),
        ("head_bn/beta", Owner.HEAD),
        ("head_bn/moving_mean", Owner.HEAD),
        ("head_conv/kernel", Owner.UNIVERSAL),
        ("classifier/bias", Owner.HEAD),
        # Layers of somebody's own network, whatever they are called.
        ("block2_mid_proxy3/kernel", Owner.UNIVERSAL),
        ("block2_proxy/kernel", Owner.UNIVERSAL),
        ("block2_my_gate/logits", Owner.UNIVERSAL),
        ("block2_x/logits", Owner.UNIVERSAL),
        ("block2_classifier/kernel", Owner.UNIVERSAL),
        ("stem_head_conv/kernel", Owner.UNIVERSAL),
        ("stem_proxy1_conv/kernel", Owner.UNIVERSAL),
    ],
)
def test_owner(key, owner):
    assert keys.owner(key) is owner
    assert keys.is_task(key) == (owner is not Owner.UNIVERSAL)


@pytest.mark.parametrize("part", ["stem", "block3", "head"])
def test_no_layer_of_another_network_is_taken_for_one_of_the_students(part):
    names = ["conv", "gate", "own_gate", "sum", "output", "proxy1_conv", "proxy1_x", "own_own_sum"]
    inside = [keys.within(part, name) for name in names]
    assert len(set(inside)) == len(names)
    students = {keys.gate(3), keys.node(3), keys.path_sum(3), f"{keys.proxy(3, 1)}_conv"}
    assert not students & set(inside)
    assert {keys.owner(f"{name}/kernel") for name in inside} == {Owner.UNIVERSAL}


def _odd_network():
    """Four blocks whose layers are called what a student calls its own."""
    names = iter(["first", "mid_proxy3", "proxy1_conv", "gate", "output"])
    x = images = keras.Input((16, 16, 3))
    for name in names:
        y = kl.Conv2D(8, 3, padding="same", use_bias=False, name=name)(x)
        y = kl.BatchNormalization(name=f"{name}_norm")(y)
        x = kl.ReLU(name=f"{name}_relu")(y)
    return keras.Model(images, x)


def test_a_layer_called_like_a_proxy_stays_universal(rng):
    graph, tensors = cut(_odd_network(), {"name": "odd"})
    universal = universal_from_tensors(graph, tensors, origin="the network")
    architecture = Architecture.full(graph.num_blocks, 2)
    student = build_student(universal, architecture, 5)
    kernels = {key for key in student.task_weights() if key.endswith("/kernel")}
    proxies = {f"{path.name}_conv/kernel" for path in architecture.proxies}
    assert kernels == proxies | {"classifier/kernel"}
    trained = {v.path for v in student.model.trainable_weights}
    assert "block1_mid_proxy3/kernel" not in trained
    assert "block1_mid_proxy3/kernel" in weights.variables(student.model)
    x = builders.images(graph, rng)
    assert student.model(x, training=False)["logits"].shape == (2, 5)
    assert weights.fingerprint(universal.model)
