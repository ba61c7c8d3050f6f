"""Three tasks over a universal network of residual blocks, and their TFLite files."""

import functools

import keras
import numpy as np

from export.tflite import single as tflite
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.network import blocks
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.graph import chain
from tests import builders

CLASSES = {"ants": ("a", "b", "c"), "bees": ("d", "e", "f", "g"), "köter": ("h", "i")}
SIZE = 8
# Three residual blocks; one task does without the second.
FULL = Architecture.full(3, 1)
SOME = Architecture.full(3, 2).without([Path.block(2)])
ARCHITECTURES = {"ants": FULL, "bees": SOME, "köter": FULL}


def _preprocessing(seed):
    mean = np.random.default_rng(seed).uniform(0.3, 0.7, 3)
    return Preprocessing(
        SIZE,
        tuple(mean),
        (0.2, 0.25, 0.3),
        flip=False,
        crop_padding=0,
        resize=SIZE + 2 * seed,
    )


def info(name):
    """The description of a task."""
    return TaskInfo(name, CLASSES[name], _preprocessing(list(CLASSES).index(name)))


def _stem(x, *, name, layers):
    return blocks.conv_bn(x, 8, 3, 1, conv_name=f"{name}_conv", bn_name=f"{name}_bn", layers=layers)


def _head(x, *, name, layers):
    return keras.layers.GlobalAveragePooling2D(name=f"{name}_average")(x)


def make_universal(seed):
    """Weights in half precision; scales of batch norms of either sign, some next to nothing."""
    steps = ((8, 1), (16, 2), (16, 1))
    parts = [functools.partial(blocks.basic_block, filters=f, strides=s) for f, s in steps]
    keras.utils.set_random_seed(seed)
    graph = chain("basic", {"name": "basic"}, (SIZE, SIZE, 3), _stem, parts, _head)
    rng = np.random.default_rng(seed)
    universal = builders.universal(graph, rng)
    for layer in universal.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma = np.array(layer.gamma) * rng.choice([-1.0, 1.0], layer.gamma.shape)
            gamma[:4] = 0.0, 1e-4, 1e-6, -1e-9
            layer.gamma.assign(gamma)
    weights = universal.model.get_weights()
    universal.model.set_weights([w.astype("float16").astype("float32") for w in weights])
    return universal


def make_student(universal, name, seed):
    """The compact network of a task."""
    rng, architecture = np.random.default_rng(seed), ARCHITECTURES[name]
    return compact(builders.random_student(universal, architecture, rng, len(CLASSES[name])))


def save(path, network, precision, info):
    """Writes a network as the TFLite file of a task, calibrated on noise."""
    samples = np.random.default_rng(6).normal(size=(20, 1, SIZE, SIZE, 3)).astype("float32")
    content = tflite.convert(network, precision, representative=samples)
    tflite.save(path, content, info)
    return path
