"""What tests share: random weights, architectures and tasks, and slow, obvious oracles."""

import functools
import itertools
import math

import keras
import numpy as np
from keras import layers as kl

from tailor_tf.backbones import cutting
from tailor_tf.backbones.universal import Universal, universal_from_tensors
from tailor_tf.method.pruning import close
from tailor_tf.method.student import build_student
from tailor_tf.network import blocks
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import build_network, chain


def randomise(model, rng):
    """Draws batch-norm statistics, scales, offsets, biases and gate logits away from their start.

    Fresh batch norm is close to the identity and hides mistakes in what is carried over.
    """
    draw = {
        "moving_mean": lambda shape: rng.normal(0.0, 0.3, shape),
        "moving_variance": lambda shape: rng.uniform(0.5, 2.0, shape),
        "gamma": lambda shape: rng.uniform(0.5, 1.5, shape),
        "beta": lambda shape: rng.normal(0.0, 0.3, shape),
        "bias": lambda shape: rng.normal(0.0, 0.3, shape),
        "logits": lambda shape: rng.normal(0.0, 1.0, shape),
    }
    for variable in model.weights:
        kind = variable.path.split("/")[-1]
        if kind in draw:
            variable.assign(draw[kind](tuple(variable.shape)))
    return model


def universal(graph, rng, num_classes=7):
    """A universal network with random weights."""
    model = randomise(build_network(graph, num_classes), rng)
    model.trainable = False
    return Universal(graph, model)


def random_student(universal, architecture, rng, num_classes=5, **options):
    """A student with random task weights; the universal ones stay as they are."""
    student = build_student(universal, architecture, num_classes, **options)
    variables, own = student.model.weights, student.own_keys
    frozen = {v.path: v.numpy() for v in variables if v.path not in own}
    randomise(student.model, rng)
    for variable in variables:
        if variable.path in frozen:
            variable.assign(frozen[variable.path])
    return student


def images(graph, rng, batch=2):
    return rng.normal(size=(batch, *graph.input_shape)).astype("float32")


def _stem(x, *, name, layers):
    names = {"conv_name": f"{name}_conv", "bn_name": f"{name}_bn"}
    return blocks.conv_bn(x, 3, 3, 1, **names, layers=layers)


def _block(x, *, name, layers, filters, strides):
    names = {"conv_name": f"{name}_conv", "bn_name": f"{name}_bn"}
    return blocks.conv_bn(x, filters, 3, strides, **names, layers=layers, relu=False)


def _head(x, *, name, layers):
    x = layers.batch_norm(f"{name}_bn")(x)
    return kl.GlobalAveragePooling2D(name=f"{name}_average")(x)


def small_graph(num_blocks=4):
    """Four layers of one convolution each, the cheapest graph with every kind of proxy.

    images 8x8x3 -> x_0 8x8x3 -> x_1 8x8x4 -> x_2 4x4x6 -> x_3 4x4x6 -> x_4 2x2x8
    """
    steps = ((4, 1), (6, 2), (6, 1), (8, 2))
    parts = [functools.partial(_block, filters=f, strides=s) for f, s in steps[:num_blocks]]
    return chain("small", {"name": "small"}, (8, 8, 3), _stem, parts, _head)


def bottleneck_graph():
    """Three blocks and proxies as those of ResNet-50, with 8 to 16 channels.

    images 8x8x3 -> x_0 8x8x3 -> x_1 8x8x8 -> x_2 8x8x8 -> x_3 4x4x16
    """
    parts = [
        functools.partial(blocks.bottleneck_block, filters=f, strides=s)
        for f, s in ((2, 1), (2, 1), (4, 2))
    ]
    name, shape = "bottlenecks", (8, 8, 3)
    return chain(name, {"name": name}, shape, _stem, parts, _head, proxies="bottleneck")


_INVERTED = ((8, 1), (8, 1), (12, 2), (12, 1), (16, 2))  # channels and strides


def inverted_residuals(activation="relu6", side=16):
    """Keras model of depthwise convolutions, as MobileNets have them; its nodes can be negative.

    images [side, side, 3] -> stem [side, side, 8] -> a block for each of `_INVERTED`
    """

    def activated(x):
        x = kl.BatchNormalization()(x)
        return kl.ReLU(6.0)(x) if activation == "relu6" else kl.Activation(activation)(x)

    images = keras.Input((side, side, 3))
    x = activated(kl.Conv2D(8, 3, padding="same", use_bias=False)(images))
    for channels, strides in _INVERTED:
        y = activated(kl.Conv2D(4 * x.shape[-1], 1, use_bias=False)(x))
        y = activated(kl.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(y))
        y = kl.BatchNormalization()(kl.Conv2D(channels, 1, use_bias=False)(y))
        x = kl.Add()([x, y]) if x.shape == y.shape else y
    return keras.Model(images, x)


def depthwise_universal(rng, **options):
    """A universal network of `inverted_residuals` with random weights."""
    model = randomise(inverted_residuals(**options), rng)
    graph, tensors = cutting.cut(model, {"name": "inverted_residuals"})
    return universal_from_tensors(graph, tensors, origin="the original")


def walks(architecture):
    """Every way from the stem to the last layer, each a tuple of paths; for small graphs."""
    found, open_walks = [], [((), 0)]
    while open_walks:
        walk, node = open_walks.pop()
        if node == architecture.depth:
            found.append(walk)
        else:
            steps = [path for path in architecture.paths if path.source == node]
            open_walks += [((*walk, path), path.target) for path in steps]
    return found


def surviving(architecture):
    """The paths that stand on some way from the stem to the last layer."""
    return set(itertools.chain.from_iterable(walks(architecture)))


def random_subset(architecture, rng):
    """An architecture in which every path exists with a random probability; may be unconnected."""
    share = rng.uniform(0.3, 1.0)
    gone = [path for path in architecture.paths if rng.random() > share]
    return architecture.without(gone)


def random_architecture(num_blocks, rng, max_skip=None):
    """A random architecture whose paths all stand on a way from the stem to the last layer."""
    full, kept = Architecture.full(num_blocks, max_skip), Architecture(num_blocks, ())
    while not kept.paths:
        kept = close(random_subset(full, rng))
    return kept


def random_gates(architecture, rng):
    """Gates as a trained student has them: positive, summing to one over the paths into a layer."""
    gates = {}
    for layer in architecture.layers:
        into = architecture.into(layer)
        gates |= dict(zip(into, rng.dirichlet(np.ones(len(into))), strict=True))
    return gates


def count_multiply_adds(model):
    """Multiply-adds of a plain network, from the shapes of its kernels and outputs alone."""
    total = 0
    for layer in model.layers:
        out = math.prod(layer.output.shape[1:])
        kind = type(layer)
        if kind is keras.layers.Conv2D:
            height, width, channels_in, _ = layer.kernel.shape
            total += out * height * width * channels_in
        elif kind is keras.layers.Dense:
            total += math.prod(layer.kernel.shape)
        elif kind is keras.layers.BatchNormalization:
            total += 2 * out
        elif kind is keras.layers.Rescaling:  # a gate
            total += out
    return total
