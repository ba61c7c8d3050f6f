"""The networks that a tailored one is compared with, against NumPy and counts by hand."""

import keras
import numpy as np
import pytest

from tailor_tf import backbones
from tailor_tf.method import baselines
from tailor_tf.network import costs, counting, keys, weights
from tailor_tf.network.factories import AdapterLayers
from tailor_tf.network.graph import build_network
from tailor_tf.network.layers import Shared
from tests import builders

CLASSES = 5


GRAPHS = {
    "wide_resnet26": lambda: backbones.create("wide_resnet26", image_size=16, width=0.125),
    "bottlenecks": builders.bottleneck_graph,
}


@pytest.fixture(scope="module", params=GRAPHS)
def universal(request):
    return builders.universal(GRAPHS[request.param](), np.random.default_rng(0))


@pytest.mark.parametrize("method", baselines.BASELINES)
def test_it_starts_as_the_universal_network_and_shares_its_kernels(universal, method):
    rng = np.random.default_rng(1)
    model = baselines.BASELINES[method](universal, CLASSES)
    images = builders.images(universal.graph, rng)
    nodes, expected = (m(images, training=False)["nodes"] for m in (model, universal.model))
    np.testing.assert_allclose(nodes[-1], expected[-1], rtol=1e-5, atol=1e-5)
    kernels = {v.path: v for v in universal.model.weights if v.path.endswith("conv1/kernel")}
    found = {v.path: v for v in model.weights if v.path in kernels}
    assert kernels and all(found[path] is kernel for path, kernel in kernels.items())


def test_a_linear_classifier_is_all_that_is_trained(universal):
    model = baselines.build_linear(universal, CLASSES)
    assert {v.path for v in model.trainable_variables} == {"classifier/kernel", "classifier/bias"}
    statistics = {v.path: v.numpy() for v in model.weights if keys.is_statistic(v.path)}
    model(builders.images(universal.graph, np.random.default_rng(2)), training=True)
    assert all(
        (v.numpy() != statistics[v.path]).any() for v in model.weights if v.path in statistics
    )


def test_an_adapter_adds_to_the_centre_of_its_kernel(universal):
    """A 3x3 convolution with a parallel 1x1 one is one convolution with the sum in its centre."""
    rng = np.random.default_rng(3)
    model = builders.randomise(baselines.build_residual_adapters(universal, CLASSES), rng)
    by_path = weights.variables(model)
    merged = build_network(universal.graph, CLASSES)
    values = weights.arrays(model)
    adapters = [path for path in by_path if path.endswith("_adapter/kernel")]
    three = [k for k, v in weights.variables(universal.model).items() if v.shape[:2] == (3, 3)]
    assert sorted(adapters) == sorted(k.replace("/kernel", "_adapter/kernel") for k in three)
    for path in adapters:
        by_path[path].assign(rng.normal(0, 0.1, by_path[path].shape))
        kernel = path.replace("_adapter", "")
        values[kernel] = values[kernel].copy()
        values[kernel][1, 1] += by_path[path].numpy()[0, 0]
    weights.assign(merged, values, origin="the adapters")
    images = builders.images(universal.graph, rng)
    logits, expected = (m(images, training=False)["logits"] for m in (model, merged))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_costs_of_the_baselines(universal):
    """Parameters beside the universal network's, from the shapes of its weights alone."""
    graph = universal.graph
    shapes = {k: v.shape for k, v in weights.variables(universal.model).items()}
    whole = costs.network_cost(graph, CLASSES)
    norms = sum(int(np.prod(s)) for k, s in shapes.items() if k.endswith("/gamma"))
    classifier = graph.head.output_shape[-1] * CLASSES + CLASSES
    linear = costs.baseline_cost(baselines.build_linear(universal, CLASSES), graph.num_blocks)
    assert linear.task_parameters == 2 * norms + classifier
    assert (linear.parameters, linear.multiply_adds) == (whole.parameters, whole.multiply_adds)
    extra = sum(s[2] * s[3] for k, s in shapes.items() if s[:2] == (3, 3))
    model = baselines.build_residual_adapters(universal, CLASSES)
    adapted = costs.baseline_cost(model, graph.num_blocks)
    assert adapted.task_parameters == extra + 4 * norms + classifier
    assert adapted.parameters == whole.parameters + extra
    # An adapter costs a ninth of the convolution that it stands beside.
    shared = [layer for layer in model.layers if isinstance(layer, Shared)]
    convolutions = [layer for layer in shared if layer.source.kernel_size == (3, 3)]
    beside = sum(counting.layer_multiply_adds(layer) for layer in convolutions) // 9
    assert adapted.multiply_adds == whole.multiply_adds + beside


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2])
def test_an_adapter_meets_the_centre_of_a_kernel_however_it_is_padded(side, padding, strides):
    """A 3x3 kernel that is zero but for its centre is a 1x1 convolution, and so is its adapter."""
    rng = np.random.default_rng(4)
    images = keras.Input((side, side, 3))
    conv = keras.layers.Conv2D(4, 3, strides, padding, use_bias=False, name="conv")
    network = keras.Model(images, conv(images))
    kernel = np.zeros((3, 3, 3, 4))
    kernel[1, 1] = rng.normal(size=(3, 4))
    conv.set_weights([kernel])
    adapted = keras.Model(images, AdapterLayers(network).copy("conv", conv)(images))
    adapted.get_layer("conv_adapter").set_weights([kernel[1:2, 1:2]])
    x = rng.normal(size=(2, side, side, 3)).astype("float32")
    np.testing.assert_allclose(adapted(x), 2 * network(x), rtol=1e-5, atol=1e-5)
