import collections

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import tree

from tailor_tf import backbones
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.graph import build_network
from tailor_tf.network.layers import SharedConv
from tests.builders import (
    images,
    random_architecture,
    random_student,
    randomise,
    universal,
)
from tests.method.test_compaction import CLASSES, NETWORKS, ONE_OF_EACH_KIND, seeds, slow_but


def _compacted(network, architecture, rng):
    student = random_student(network, architecture, rng, CLASSES)
    return compact(student)


def _kinds(model):
    return collections.Counter(type(operation).__name__ for operation in model.operations)


def _assert_same(model, folded, x, limit=1e-4):
    expected = model(x, training=False).numpy()
    assert np.abs(expected).max() > 1e-2
    error = np.abs(folded(x, training=False).numpy() - expected).max()
    assert error <= limit * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", slow_but(*ONE_OF_EACH_KIND))
def test_every_backbone(name, rng):
    graph = backbones.create(name, **NETWORKS[name])
    plain = _compacted(universal(graph, rng), random_architecture(graph.num_blocks, rng, 3), rng)
    folded = fold(plain)
    _assert_same(plain, folded, images(graph, rng))
    assert not {"BatchNormalization", "Rescaling"} & set(_kinds(folded))


@pytest.mark.parametrize("name", slow_but("resnet18", "wide_resnet26"))
def test_teacher_with_its_nodes(name, rng):
    graph = backbones.create(name, **NETWORKS[name])
    teacher = universal(graph, rng).model
    folded, x = fold(teacher), images(graph, rng)
    expected, received = teacher(x, training=False), folded(x, training=False)
    assert len(received["nodes"]) == graph.num_blocks
    for a, b in zip(tree.flatten(received), tree.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())
    assert "BatchNorm" not in _kinds(folded)


@pytest.mark.parametrize("seed", seeds(25, fast=8))
def test_random_architecture(small, seed):
    rng = np.random.default_rng(seed)
    architecture = random_architecture(4, rng, max_skip=(1, 2, 3, None)[seed % 4])
    plain = _compacted(small, architecture, rng)
    _assert_same(plain, fold(plain), images(small.graph, rng))


@pytest.mark.parametrize("seed", range(4))
def test_shared_kernels_stay_as_they_are(small, seed):
    rng = np.random.default_rng(seed)
    architecture = random_architecture(4, rng, max_skip=(1, 2, 3, None)[seed % 4])
    plain = _compacted(small, architecture, rng)
    shared = {layer.name: layer for layer in small.model.layers if "_conv" in layer.name}
    before = {name: layer.kernel.numpy() for name, layer in shared.items()}
    folded = fold(plain, shared=shared)
    _assert_same(plain, folded, images(small.graph, rng), 1e-5)
    read = [layer for layer in folded.layers if isinstance(layer, SharedConv)]
    assert len(read) == 1 + len(architecture.universal_blocks)
    for layer in read:
        assert layer.kernel is shared[layer.name].kernel
        np.testing.assert_array_equal(layer.kernel, before[layer.name])
    assert not {"BatchNormalization", "Rescaling"} & set(_kinds(folded))


def test_convolutions_additions_relus_pools_and_one_dense_layer(tiny, rng):
    architecture = Architecture.full(12, 3).without({Path.block(6), Path.block(7)})
    kinds = _kinds(fold(_compacted(tiny, architecture, rng)))
    assert set(kinds) == {
        "InputLayer",
        "Conv2D",
        "DepthwiseConv2D",
        "Add",
        "ReLU",
        "MaxPooling2D",
        "AveragePooling2D",
        "ZeroPadding2D",
        "Pad",
        "GlobalAveragePooling2D",
        "Dense",
    }
    assert kinds["DepthwiseConv2D"] == 1  # the batch norm at the head, which a ReLU precedes
    # A stem, two convolutions a block, and the proxies.
    assert kinds["Conv2D"] == 1 + 2 * 10 + len(architecture.proxies)


def test_network_without_proxies_has_no_more_operations_than_its_kernels_need(rng):
    graph = backbones.create("resnet18", image_size=32)
    model = randomise(build_network(graph, CLASSES), rng)
    logits = keras.Model(model.input, model.output["logits"])
    folded = fold(logits)
    kinds = _kinds(folded)
    _assert_same(logits, folded, images(graph, rng))
    assert kinds["Conv2D"] == 20
    assert kinds["Add"] == 8
    assert kinds["ReLU"] == 17


def _model(build, shape=(8, 8, 4), rng=None):
    x = keras.Input(shape)
    return randomise(keras.Model(x, build(x)), rng or np.random.default_rng(3))


def _check(model, rng, **expected):
    x = rng.normal(size=(2, *model.input.shape[1:])).astype("float32")
    folded = fold(model)
    _assert_same(model, folded, x, 1e-5)
    kinds = _kinds(folded)
    assert {kind: kinds[kind] for kind in expected} == expected


def _conv(x, channels=4, size=1, strides=1, padding=0):
    if padding:
        x = kl.ZeroPadding2D(padding)(x)
    return kl.BatchNormalization()(kl.Conv2D(channels, size, strides=strides, use_bias=False)(x))


class TestWhatBecomesOne:
    def test_parallel_1x1_convolutions(self, rng):
        _check(_model(lambda x: kl.Add()([_conv(x), _conv(x)])), rng, Conv2D=1, Add=0)

    def test_1x1_goes_into_the_3x3_beside_it(self, rng):
        model = _model(lambda x: kl.Add()([_conv(x), _conv(x, size=3, padding=1)]))
        _check(model, rng, Conv2D=1, Add=0, ZeroPadding2D=0)

    def test_strided_1x1_goes_into_the_strided_3x3(self, rng):
        def build(x):
            return kl.Add()([_conv(x, strides=2), _conv(x, size=3, padding=1, strides=2)])

        _check(_model(build), rng, Conv2D=1, Add=0, ZeroPadding2D=1)
        _check(_model(build, (9, 9, 4)), rng, Conv2D=1, Add=0, ZeroPadding2D=0)

    def test_identity_goes_into_the_convolution_beside_it(self, rng):
        model = _model(lambda x: kl.Add()([kl.Rescaling(0.3)(x), _conv(x)]))
        _check(model, rng, Conv2D=1, Add=0, Rescaling=0)

    def test_convolutions_of_different_tensors_stay_apart(self, rng):
        model = _model(lambda x: kl.Add()([_conv(x), _conv(kl.ReLU()(x))]))
        _check(model, rng, Conv2D=2, Add=1)

    def test_different_strides_stay_apart(self, rng):
        def build(x):
            return kl.Add()([_conv(x, strides=2), _conv(x[:, :4, :4])])

        _check(_model(build), rng, Conv2D=2, Add=1)

    def test_pools_of_one_tensor(self, rng):
        def build(x):
            pools = [kl.MaxPooling2D(3, 2)(kl.ZeroPadding2D(1)(x)) for _ in range(2)]
            return kl.Add()([kl.ReLU()(_conv(pool)) for pool in pools])

        _check(_model(build), rng, MaxPooling2D=1, ZeroPadding2D=1, Conv2D=2)


class TestGatesOfIdentities:
    def test_go_on_to_the_next_kernel(self, rng):
        def build(x):
            y = kl.ReLU()(kl.Add()([_conv(kl.ReLU()(x)), x]))
            y = kl.Rescaling(0.4)(y)
            y = kl.ReLU()(kl.Add()([y, _conv(x)]))
            return kl.Dense(3)(kl.GlobalAveragePooling2D()(kl.MaxPooling2D(2)(y)))

        _check(_model(build), rng, Rescaling=0, Add=2)

    def test_stay_where_two_of_them_meet(self, rng):
        def build(x):
            a, b = kl.ReLU()(x), kl.MaxPooling2D(3, 1, padding="same")(x)
            return kl.Add()([kl.Rescaling(0.4)(a), kl.Rescaling(0.6)(b)])

        # One of the two factors, and that of the output.
        _check(_model(build), rng, Rescaling=2)

    def test_negative_factors_are_not_kept_across_a_relu(self, rng):
        _check(_model(lambda x: kl.ReLU()(kl.Rescaling(-0.5)(x))), rng, ReLU=1)

    def test_bounded_relu_is_not_homogeneous(self, rng):
        _check(_model(lambda x: kl.ReLU(max_value=0.5)(kl.Rescaling(0.5)(x))), rng, Rescaling=1)


class TestOtherNetworks:
    def test_batch_norm_before_any_convolution(self, rng):
        def build(x):
            return _conv(kl.ReLU()(kl.BatchNormalization()(x)), size=3, padding=1)

        _check(_model(build), rng, BatchNormalization=0, DepthwiseConv2D=1, Conv2D=1)

    def test_depthwise_and_grouped_convolutions(self, rng):
        def build(x):
            x = kl.BatchNormalization()(kl.DepthwiseConv2D(3, depth_multiplier=2)(x))
            return kl.BatchNormalization()(kl.Conv2D(8, 3, groups=2, padding="same")(x))

        _check(_model(build), rng, BatchNormalization=0, DepthwiseConv2D=1, Conv2D=1)

    def test_dilation(self, rng):
        def build(x):
            dilated = kl.Conv2D(4, 3, dilation_rate=2)(kl.ZeroPadding2D(2)(x))
            return kl.Add()([kl.BatchNormalization()(dilated), _conv(x)])

        _check(_model(build), rng, Conv2D=2, ZeroPadding2D=0)

    def test_fused_activation_and_product(self, rng):
        def build(x):
            gate = kl.Conv2D(4, 1, activation="sigmoid")(kl.Rescaling(0.5)(x))
            return _conv(kl.Multiply()([gate, kl.Rescaling(2.0)(x)]))

        _check(_model(build), rng, Multiply=1, Conv2D=2)

    def test_padding_of_a_batch_norms_output(self, rng):
        def build(x):
            return _conv(kl.BatchNormalization()(x), size=3, padding=1)

        _check(_model(build), rng, Conv2D=1, DepthwiseConv2D=1)

    def test_sum_that_several_read_is_made_once(self, rng):
        def build(x):
            for _ in range(4):  # bottlenecks without an activation at their end
                x = kl.Add()([x, _conv(kl.ReLU()(_conv(x, 8)))])
            return x

        _check(_model(build), rng, Conv2D=8, Add=4)

    def test_operations_with_arguments(self, rng):
        def build(x):
            y = keras.ops.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (1, 3)))
            return kl.Add()([_conv(kl.ReLU()(x), 8, 3, 2, 1), y])

        _check(_model(build), rng, Add=1)

    def test_padding_with_ones(self, rng):
        def build(x):
            y = keras.ops.pad(
                kl.Rescaling(0.5)(x), ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=1
            )
            return _conv(y)

        _check(_model(build), rng, Conv2D=1)


def test_nothing_is_shared_and_nothing_is_changed(small, rng):
    plain = _compacted(small, Architecture.full(4, 3), rng)
    x = images(small.graph, rng)
    before = plain(x).numpy()
    folded = fold(plain)
    for variable in folded.weights:
        variable.assign(variable * 0)
    np.testing.assert_array_equal(plain(x), before)
