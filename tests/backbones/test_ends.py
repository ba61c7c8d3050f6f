"""Networks are cut between the units that they were built of, not one too many or too few."""

import keras
import pytest
from keras import layers as kl

from tailor_tf.backbones.cutting import cut
from tailor_tf.backbones.ends import unit_ends
from tailor_tf.backbones.flattening import flattened
from tests.shared_data import shared_file

SIZE = 64


def _stages(name, *depths, start):
    """Names such as conv2_block1_out: by stage, from `start`, and unit, from 1."""
    stages = enumerate(depths, start=start)
    return [name.format(stage, unit) for stage, depth in stages for unit in range(1, depth + 1)]


def _inverted(first, name, depths, linear, add):
    """Last layers of inverted residuals numbered through; the first of a stage has no sum."""
    starts = {sum(depths[:stage]) for stage in range(len(depths))}
    ends = [linear if unit in starts else add for unit in range(1, sum(depths))]
    return [first, *(name.format(unit) + end for unit, end in enumerate(ends, start=1))]


def _lettered(depths, linear, add):
    """Last layers of units such as block2a and block2b; the first of a stage has no sum."""
    return [
        f"block{stage}{'abcdefgh'[unit]}_{add if unit else linear}"
        for stage, depth in enumerate(depths, start=2)
        for unit in range(depth)
    ]


RESNET = (3, 4, 6, 3)  # bottlenecks per stage (He et al. 2016)
BUILT = {  # the last layer of the stem and of each unit, as keras.applications names them
    "MobileNetV2": (
        "Conv1_relu",
        _inverted(
            "expanded_conv_project_BN", "block_{}", (1, 2, 3, 4, 3, 3, 1), "_project_BN", "_add"
        ),
    ),
    "ResNet50": ("pool1_pool", _stages("conv{}_block{}_out", *RESNET, start=2)),
    "ResNet50V2": ("pool1_pool", _stages("conv{}_block{}_out", *RESNET, start=2)),
    "MobileNetV3Small": (
        None,
        _inverted(
            "expanded_conv_project_bn", "expanded_conv_{}", (1, 2, 3, 2, 3), "_project_bn", "_add"
        ),
    ),
    "MobileNetV3Large": (
        None,
        _inverted(
            "expanded_conv_add", "expanded_conv_{}", (1, 2, 3, 4, 2, 3), "_project_bn", "_add"
        ),
    ),
    "EfficientNetV2B0": (
        "stem_activation",
        ["block1a_project_activation", *_lettered((2, 2, 3, 5, 8), "project_bn", "add")],
    ),
}
COUNTS = {
    "MobileNetV2": 17,
    "ResNet50": 16,
    "ResNet50V2": 16,
    "MobileNetV3Small": 11,
    "MobileNetV3Large": 15,
    "EfficientNetV2B0": 21,
}
FAST = ("MobileNetV2", "MobileNetV3Small")


def _ends(model):
    flat = flattened(model)
    makers = {id(operation.output): operation.name for operation in flat.operations}
    return [makers[id(end.tensor)] for end in unit_ends(flat)]


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in BUILT]
)
def test_units_are_those_that_the_network_was_built_of(name):
    options = {"weights": None, "include_top": False, "input_shape": (SIZE, SIZE, 3)}
    if name.startswith(("MobileNetV3", "EfficientNet")):
        options["include_preprocessing"] = False
    model = getattr(keras.applications, name)(**options)
    stem, units = BUILT[name]
    found = _ends(model)
    assert found[1:] == units
    assert len(units) == COUNTS[name]
    assert stem in (None, found[0])  # Keras numbers the activations of MobileNetV3
    graph, _ = cut(model, {"name": name, "image_size": SIZE})
    assert graph.num_blocks == COUNTS[name]
    widest = 2048 if name.startswith("ResNet") else 512
    assert max(block.output_shape[-1] for block in graph.blocks) <= widest


def test_units_of_efficientnet_lite0():
    path = shared_file("weights/efficientnet_lite0.keras")
    model = keras.saving.load_model(path, compile=False)
    model = keras.Model(model.input, model.get_layer("head_relu6").output)
    without_sum = {0, 1, 3, 5, 8, 11, 15}  # of B0 (Tan and Le 2019, table 1)
    units = [f"blocks_{i}_{'bn2' if i in without_sum else 'add'}" for i in range(16)]
    assert _ends(model) == ["stem_relu6", *units]


def _separable(x, width, activation, name):
    """Depthwise and pointwise convolution, each with batch norm and activation (MobileNet)."""
    x = kl.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(x)
    x = kl.Activation(activation)(kl.BatchNormalization()(x))
    x = kl.Conv2D(width, 1, name=f"{name}_pointwise")(x)
    return kl.Activation(activation, name=f"{name}_end")(kl.BatchNormalization()(x))


@pytest.mark.parametrize("activation", ["relu", "relu6", "hard_swish", "silu", "gelu"])
def test_units_whose_nodes_have_any_activation(activation):
    images = keras.Input((16, 16, 3))
    x = kl.Conv2D(8, 3, padding="same", name="stem")(images)
    x = kl.Activation(activation, name="stem_end")(x)
    for unit in range(1, 5):
        x = _separable(x, 8, activation, f"unit{unit}")
    model = keras.Model(images, x)
    assert _ends(model) == ["stem_end", *(f"unit{unit}_end" for unit in range(1, 5))]
    graph, _ = cut(model, {"name": "separable"})
    assert graph.activation == ("relu" if activation == "relu" else "linear")


def test_activations_and_gates_that_are_written_as_functions():
    """x * sigmoid(x) as `keras.ops`, and a gate over all channels (squeeze and excite)."""
    images = keras.Input((16, 16, 3))
    x = kl.Conv2D(8, 3, padding="same", name="stem")(images)
    for unit in range(1, 5):
        x = keras.ops.relu6(kl.BatchNormalization()(kl.Conv2D(16, 1, name=f"unit{unit}_a")(x)))
        x = kl.DepthwiseConv2D(3, padding="same")(x)
        x = keras.ops.multiply(x, keras.ops.sigmoid(x))
        gate = kl.Conv2D(16, 1)(kl.GlobalAveragePooling2D(keepdims=True)(x))
        x = kl.Multiply()([x, kl.Activation("sigmoid")(gate)])
        x = kl.BatchNormalization(name=f"unit{unit}_end")(kl.Conv2D(8, 1)(x))
    assert _ends(keras.Model(images, x)) == ["stem", *(f"unit{unit}_end" for unit in range(1, 5))]


def test_a_last_1x1_convolution_belongs_to_the_head():
    images = keras.Input((16, 16, 3))
    x = kl.Conv2D(4, 3, padding="same", activation="relu", name="stem")(images)
    for unit in range(3):
        x = kl.Conv2D(4, 3, padding="same", activation="relu", name=f"unit{unit}")(x)
    x = kl.ReLU(max_value=6)(kl.BatchNormalization()(kl.Conv2D(600, 1, name="wide")(x)))
    graph, tensors = cut(keras.Model(images, x), {"name": "wide"})
    assert [block.output_shape[-1] for block in graph.blocks] == [4, 4, 4]
    assert graph.head.output_shape == (600,)
    assert "head_wide/kernel" in tensors
