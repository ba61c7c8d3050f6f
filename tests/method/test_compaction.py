import keras
import numpy as np
import pytest

from tailor_tf import backbones
from tailor_tf.method.compaction import compact
from tailor_tf.method.pruning import prune
from tailor_tf.method.student import prune_student
from tailor_tf.network import weights
from tailor_tf.network.architecture import Architecture
from tests.builders import images, random_architecture, random_student, universal

CLASSES = 5

NETWORKS = {
    "wide_resnet26": {"image_size": 16, "width": 0.25},
    "resnet18": {"image_size": 32},
    "resnet34": {"image_size": 32},
    "resnet50": {"image_size": 32},
    "cifar_resnet20": {"image_size": 16},
    "cifar_resnet32": {"image_size": 16},
    "cifar_resnet44": {"image_size": 16},
    "cifar_resnet56": {"image_size": 16},
    "efficientnet_lite0": {"image_size": 64},
}


def _assert_same(student, plain, x):
    expected = student.model(x, training=False)["logits"].numpy()
    error = np.abs(plain(x, training=False).numpy() - expected).max()
    assert error <= 1e-5 * max(1.0, np.abs(expected).max())


def _all_layers(model):
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)


def test_every_backbone_is_compacted_below():
    assert set(NETWORKS) == set(backbones.BACKBONES)


def slow_but(*fast):
    """Names of all networks, marked as slow but for some."""
    others = pytest.mark.slow
    return [name if name in fast else pytest.param(name, marks=others) for name in NETWORKS]


def seeds(count, fast):
    """Seeds of random networks; all but the first `fast` are marked as slow."""
    others = (pytest.param(seed, marks=pytest.mark.slow) for seed in range(fast, count))
    return [*range(fast), *others]


# Deeper ones are rows of the same table.
ONE_OF_EACH_KIND = ("wide_resnet26", "resnet18", "resnet50", "cifar_resnet20", "efficientnet_lite0")


@pytest.mark.parametrize("name", slow_but(*ONE_OF_EACH_KIND))
def test_pruned_student_of_every_backbone(name, rng):
    graph = backbones.create(name, **NETWORKS[name])
    network = universal(graph, rng)
    before = random_architecture(graph.num_blocks, rng, 2)
    student = random_student(network, before, rng, CLASSES)
    blocks = len(before.universal_blocks) // 3
    gates = student.gate_values()
    after = prune(before, gates, num_blocks=blocks, proxy_threshold=0.2).architecture
    assert set(after.paths) < set(before.paths)
    pruned = prune_student(student, after)
    plain = compact(pruned)
    _assert_same(pruned, plain, images(graph, rng))
    assert all(type(layer).__module__.split(".")[0] == "keras" for layer in _all_layers(plain))


@pytest.mark.parametrize("seed", seeds(100, fast=16))
def test_random_architecture(small, seed):
    rng = np.random.default_rng(seed)
    architecture = random_architecture(4, rng, max_skip=(1, 2, 3, None)[seed % 4])
    student = random_student(small, architecture, rng, CLASSES)
    plain = compact(student)
    _assert_same(student, plain, images(small.graph, rng))


def test_only_what_survived_is_in_it(small, rng):
    architecture = random_architecture(4, rng, 3)
    plain = compact(random_student(small, architecture, rng, CLASSES))
    names = {layer.name for layer in plain.layers}
    paths = Architecture.full(4, None).paths
    present = {path for path in paths if f"{path.name}_conv" in names}
    assert present == set(architecture.paths)
    assert plain.name == "compact_small"


def test_student_and_its_compacted_network_share_nothing(small, rng):
    architecture = Architecture.full(4, 3)
    student = random_student(small, architecture, rng, CLASSES)
    plain = compact(student)
    x = images(small.graph, rng)
    expected = plain(x).numpy()
    assert not {id(v) for v in plain.weights} & {id(v) for v in student.model.weights}
    before = weights.arrays(student.model)
    for variable in plain.weights:
        variable.assign(variable + 1.0)
    assert not np.allclose(plain(x), expected)
    for key, value in weights.arrays(student.model).items():
        np.testing.assert_array_equal(value, before[key])


def test_file_needs_no_code_of_the_project(small, rng, tmp_path):
    architecture = random_architecture(4, rng, 3)
    student = random_student(small, architecture, rng, CLASSES)
    plain = compact(student)
    plain.save(tmp_path / "plain.keras")
    again = keras.saving.load_model(tmp_path / "plain.keras")
    x = images(small.graph, rng)
    np.testing.assert_array_equal(again(x), plain(x))
    assert "tailor_tf" not in plain.to_json()
