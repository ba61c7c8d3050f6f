"""Students with identities, with own small weights and heads, and with early ends."""

import keras
import numpy as np
import pytest

from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.method.student import build_student, build_teacher
from tailor_tf.method.task_pack import TailoredTask, load_task_pack, save_task_pack
from tailor_tf.network import costs, counting, keys, weights
from tailor_tf.network.architecture import OWN, Architecture, Path
from tailor_tf.network.graph import full_architecture
from tailor_tf.network.layers import BN_EPSILON
from tests import builders

CLASSES = 5


@pytest.fixture(scope="module")
def universal():
    """Read-only."""
    return builders.depthwise_universal(np.random.default_rng(0))


def student_of(universal, rng, **options):
    return builders.random_student(universal, full_architecture(universal.graph, **options), rng)


def trainable_kinds(student):
    """Kinds of the trainable weights of universal blocks and stem, by their layers' types."""
    parts = [layer for layer in student.model.layers if "proxy" not in layer.name]
    blocks = [layer for layer in parts if layer.name.startswith(("block", "stem"))]
    return {
        (type(layer).__name__, weight.name)
        for layer in blocks
        for weight in layer.trainable_weights
        if weight.name != "logits"
    }


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("statistics", set()),
        ("affine", {("BatchNorm", "gamma"), ("BatchNorm", "beta")}),
        (
            "depthwise",
            {("BatchNorm", "gamma"), ("BatchNorm", "beta"), ("DepthwiseConv2D", "kernel")},
        ),
    ],
)
def test_own_weights_start_as_the_universal_ones_and_are_trained(universal, own, expected):
    student = build_student(universal, full_architecture(universal.graph, own=own), CLASSES)
    assert trainable_kinds(student) == expected
    theirs = weights.arrays(universal.model)
    for key, value in weights.arrays(student.model).items():
        if key in theirs and key.startswith(("block", "stem")):
            np.testing.assert_array_equal(value, theirs[key])


@pytest.mark.parametrize("own", OWN)
def test_training_leaves_universal_kernels_alone(universal, rng, own):
    student = build_student(universal, full_architecture(universal.graph, own=own), CLASSES)
    before = weights.arrays(universal.model)
    builders.randomise(student.model, rng)
    for variable in student.model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape))
    after = weights.arrays(universal.model)
    assert all((before[key] == after[key]).all() for key in before)


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize(
    ("depth", "own_head", "identities"),
    [
        (3, False, False),
        (3, True, True),
        (5, True, True),
        pytest.param(3, False, True, marks=pytest.mark.slow),
        pytest.param(3, True, False, marks=pytest.mark.slow),
        pytest.param(5, True, False, marks=pytest.mark.slow),
    ],
)
def test_compact_and_folded_networks_and_counts(universal, rng, own, depth, own_head, identities):
    options = {"own": own, "depth": depth, "identities": identities, "max_skip": 2}
    options["own_head"] = own_head
    student = student_of(universal, rng, **options)
    x = builders.images(universal.graph, rng)
    expected = student.model(x, training=False)["logits"].numpy()
    plain = compact(student)
    scale = np.abs(expected).max()
    for network in (plain, fold(plain)):
        np.testing.assert_allclose(network(x, training=False), expected, atol=2e-5 * scale)
    cost = costs.student_cost(universal.graph, student.architecture, CLASSES)
    assert cost.multiply_adds == counting.multiply_adds(plain)
    stored = sum(variable.numpy().size for variable in student.task_weights().values())
    assert cost.task_parameters == stored


@pytest.mark.parametrize("own", OWN)
def test_the_penalty_can_count_weights_of_the_task(universal, own):
    graph = universal.graph
    full = full_architecture(graph, identities=True, own=own)
    shares = costs.path_shares(graph, full, "task_parameters")

    def count(*paths):
        return costs.student_cost(graph, full.with_paths(paths), CLASSES).task_parameters

    whole = count(*(p for p in full.paths if p.universal)) - graph.num_blocks  # without gates
    stem = count() - graph.head.output_shape[-1] * CLASSES - CLASSES
    for path in full.paths:
        assert shares[path] == pytest.approx((count(path) - count()) / (whole - count() + stem))


def test_identities_alone_leave_out_residual_blocks(universal, rng):
    """Layers whose only path is the identity do nothing at all."""
    graph = universal.graph
    paths = [Path.same(n) if n in (2, 4) else Path.block(n) for n in range(1, 6)]
    student = builders.random_student(universal, Architecture(5, tuple(paths)), rng)
    nodes = student.model(builders.images(graph, rng), training=False)["nodes"]
    for before, after in ((1, 2), (3, 4)):
        np.testing.assert_allclose(nodes[before - 1], nodes[after - 1], rtol=1e-6)


def test_identities_are_where_shapes_agree(universal):
    graph = universal.graph
    full = full_architecture(graph, identities=True)
    same = [n for n in range(1, 6) if graph.node_shape(n) == graph.node_shape(n - 1)]
    assert [path.target for path in full.paths if path.identity] == same != []
    assert not [p for p in full.proxies if p.skip == 1 and p.target in same]
    with pytest.raises(ValueError, match=r"block3_identity cannot be the node before it"):
        build_student(universal, Architecture(5, (*full.paths, Path.same(3))), CLASSES)


@pytest.mark.parametrize("own", OWN)
def test_packs_hold_own_weights(universal, rng, tmp_path, own):
    student = student_of(universal, rng, own=own, depth=3, own_head=True, identities=True)
    preprocessing = Preprocessing(16, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0)
    info = TaskInfo("bees", tuple("abcde"), preprocessing)
    save_task_pack(tmp_path / "pack.safetensors", TailoredTask(info, student))
    loaded = load_task_pack(tmp_path / "pack.safetensors", universal).student
    assert loaded.architecture == student.architecture
    x = builders.images(universal.graph, rng)
    results = [each.model(x, training=False)["logits"] for each in (student, loaded)]
    np.testing.assert_array_equal(*results)


def test_a_teacher_that_ends_early_is_the_first_part_of_the_whole_one(universal, rng):
    x = builders.images(universal.graph, rng)
    whole, short = (build_teacher(universal, CLASSES, depth=depth) for depth in (None, 3))
    features = np.asarray(whole(x, training=False)["nodes"][2]).mean((1, 2))
    output = short(x, training=False)
    assert len(output["nodes"]) == 3
    kernel, bias = (np.asarray(w) for w in short.get_layer("classifier").weights)
    np.testing.assert_allclose(output["logits"], features @ kernel + bias, rtol=1e-4, atol=1e-5)
    cost = costs.network_cost(universal.graph, CLASSES, depth=3)
    logits = keras.Model(short.input, short.output["logits"])
    assert cost.multiply_adds == counting.multiply_adds(logits)
    assert cost.universal_blocks == 3


def test_a_head_of_the_tasks_own(universal, rng):
    """The features are the mean of ReLU(batch norm(1x1 convolution)), in NumPy."""
    channels = universal.graph.own_head_channels(3)
    assert channels == 2 * universal.graph.node_shape(3)[-1]
    student = student_of(universal, rng, depth=3, own_head=True)
    assert student.architecture.head_channels == channels
    output = student.model(builders.images(universal.graph, rng), training=False)
    own = {k: np.float64(v) for k, v in student.task_weights().items()}
    convolved = np.float64(output["nodes"][-1]) @ own["exit_conv/kernel"][0, 0]
    normal = (convolved - own["exit_bn/moving_mean"]) / np.sqrt(
        own["exit_bn/moving_variance"] + BN_EPSILON
    )
    features = np.maximum(normal * own["exit_bn/gamma"] + own["exit_bn/beta"], 0).mean((1, 2))
    expected = features @ own["classifier/kernel"] + own["classifier/bias"]
    np.testing.assert_allclose(output["logits"], expected, rtol=1e-3, atol=1e-4)
    assert "exit_conv/kernel" in {v.path for v in student.model.trainable_variables}
    teacher = build_teacher(universal, CLASSES, depth=3, head_channels=channels)
    heads = {k: v.shape for k, v in weights.variables(teacher).items() if keys.is_head(k)}
    assert heads == {k: v.shape for k, v in own.items() if keys.is_head(k)}


def test_no_head_of_the_tasks_own_behind_the_last_block(universal):
    assert full_architecture(universal.graph, own_head=True).head_channels == 0
    with pytest.raises(ValueError, match=r"8 channels behind the last block, 5, .*expected 0"):
        Architecture(5, (Path.block(5),), head_channels=8)


@pytest.mark.parametrize("depth", [0, 6])
def test_a_depth_that_the_network_does_not_have(universal, depth):
    with pytest.raises(ValueError, match=f"cannot read node {depth} of a network of 5 blocks"):
        full_architecture(universal.graph, depth=depth)


def test_architectures_of_earlier_versions_are_read(universal):
    old = {"num_blocks": 2, "paths": [[1, 0, True], [2, 0, False]]}
    read = Architecture.from_dict(old)
    assert (read.depth, read.own, read.head_channels) == (2, "statistics", 0)
    assert read.as_dict() == old, "and written as before"
    options = {"identities": True, "own": "affine", "depth": 3, "own_head": True}
    new = full_architecture(universal.graph, **options)
    assert Architecture.from_dict(new.as_dict()) == new
