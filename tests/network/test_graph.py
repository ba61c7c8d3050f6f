import functools
import json
import pathlib

import keras
import numpy as np
import pytest

from tailor_tf import backbones
from tailor_tf.network import costs
from tailor_tf.network.architecture import Path
from tailor_tf.network.blocks import cifar_block, wide_block
from tailor_tf.network.factories import NewLayers
from tailor_tf.network.graph import build_network
from tests.builders import small_graph

SNAPSHOTS = pathlib.Path(__file__).with_name("snapshots")

# Every network whose summary is kept, by the name of its snapshot.
NETWORKS = {
    "wide_resnet26": {"name": "wide_resnet26", "image_size": 64, "width": 1.0},
    "wide_resnet26_w0.5_32": {"name": "wide_resnet26", "image_size": 32, "width": 0.5},
    **{
        name: {"name": name, "image_size": 224}
        for name in ("resnet18", "resnet34", "resnet50", "efficientnet_lite0")
    },
    **{
        name: {"name": name, "image_size": 32}
        for name in ("cifar_resnet20", "cifar_resnet32", "cifar_resnet44", "cifar_resnet56")
    },
}


@functools.cache
def _graph(name):
    return backbones.create(**NETWORKS[name])


@functools.cache
def _cost(name, num_classes):
    return costs.network_cost(_graph(name), num_classes)


class TestBlockGraph:
    def test_node_shapes(self):
        graph = small_graph()
        assert graph.num_blocks == 4
        assert [graph.node_shape(node) for node in range(5)] == [
            (8, 8, 3),
            (8, 8, 4),
            (4, 4, 6),
            (4, 4, 6),
            (2, 2, 8),
        ]

    def test_network_has_the_described_shapes(self, tiny):
        network = build_network(tiny.graph, 9)
        outputs = network(np.zeros((2, 16, 16, 3), "float32"))
        assert outputs["logits"].shape == (2, 9)
        shapes = [tuple(node.shape[1:]) for node in outputs["nodes"]]
        assert shapes == [tiny.graph.node_shape(layer) for layer in range(1, 13)]

    def test_config_builds_the_same_graph_again(self, tiny):
        again = backbones.create(**tiny.graph.config)
        assert [b.output_shape for b in again.blocks] == [b.output_shape for b in tiny.graph.blocks]


class TestCreate:
    def test_unknown_name_lists_the_known(self):
        with pytest.raises(ValueError, match=r"Unknown backbone 'vgg'; known are .*resnet34") as e:
            backbones.create("vgg")
        assert all(name in str(e.value) for name in backbones.BACKBONES)

    def test_unknown_setting_lists_the_known(self):
        with pytest.raises(ValueError, match=r"resnet18 has no setting width; .*image_size"):
            backbones.create("resnet18", width=0.5)

    @pytest.mark.parametrize(
        ("name", "image_size", "multiple"),
        [
            ("resnet34", 200, 32),
            ("cifar_resnet20", 30, 4),
            ("wide_resnet26", 36, 8),
            ("wide_resnet26", 0, 8),
            ("resnet18", -32, 32),
            ("efficientnet_lite0", 144, 32),
        ],
    )
    def test_image_size_must_fit_the_strides(self, name, image_size, multiple):
        message = rf"{name} got image_size {image_size}; expected a positive multiple of {multiple}"
        with pytest.raises(ValueError, match=message):
            backbones.create(name, image_size=image_size)

    def test_width_must_leave_a_channel(self):
        with pytest.raises(ValueError, match=r"wide_resnet26 got width 0.01; expected at least"):
            backbones.create("wide_resnet26", width=0.01)


def _appended(x, before, after):
    return np.pad(x, ((0, 0), (0, 0), (0, 0), (before, after)))


class TestFreeShortcuts:
    # from 8x8x4 to 4x4x8, as the first block of a stage does
    @pytest.mark.parametrize(
        ("block", "expected"),
        [
            (
                cifar_block,  # every second row and column, zeros on both sides
                lambda x: _appended(x[:, ::2, ::2], 2, 2),
            ),
            (
                wide_block,  # mean of 2x2, zeros appended, the block's own ReLU
                lambda x: np.maximum(_appended(x.reshape(2, 4, 2, 4, 2, 4).mean((2, 4)), 0, 4), 0),
            ),
        ],
    )
    def test_is_the_block_where_the_residual_is_nought(self, rng, block, expected):
        inputs = keras.Input((8, 8, 4))
        model = keras.Model(inputs, block(inputs, 8, 2, name="block", layers=NewLayers()))
        model.get_layer("block_bn2").gamma.assign(np.zeros(8))
        x = rng.normal(size=(2, 8, 8, 4)).astype("float32")
        np.testing.assert_allclose(model(x), expected(x), rtol=1e-5, atol=1e-6)


def _summary(name):
    graph, cost = _graph(name), _cost(name, 1000)
    return {
        "config": dict(graph.config),
        "parameters_1000_classes": cost.parameters,
        "multiply_adds_1000_classes": cost.multiply_adds,
        "stem_output_shape": list(graph.node_shape(0)),
        "num_blocks": graph.num_blocks,
        "blocks": [
            {
                "output_shape": list(graph.node_shape(layer)),
                "multiply_adds_with_gate": costs.path_multiply_adds(graph, Path.block(layer)),
            }
            for layer in range(1, graph.num_blocks + 1)
        ],
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_as_in_its_snapshot(name, rewrite_snapshots):
    file = SNAPSHOTS / f"{name}.json"
    summary = _summary(name)
    if rewrite_snapshots:
        file.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    assert file.exists(), (
        f"{file} is missing; write it with `pytest --rewrite-snapshots {__file__}`"
    )
    assert summary == json.loads(file.read_text(encoding="utf-8"))


def test_every_backbone_has_a_snapshot():
    assert {config["name"] for config in NETWORKS.values()} == set(backbones.BACKBONES)
    assert {file.stem for file in SNAPSHOTS.glob("*.json")} == set(NETWORKS)


# What torchvision's documentation says of its ImageNet weights.
@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)],
)
def test_resnets_have_the_parameters_of_torchvision(name, expected):
    assert _cost(name, 1000).parameters == expected


# Rounded to 0.01 million as in table 6 of He et al. 2016.
@pytest.mark.parametrize(
    ("name", "depth", "millions"),
    [
        ("cifar_resnet20", 3, 0.27),
        ("cifar_resnet32", 5, 0.46),
        ("cifar_resnet44", 7, 0.66),
        ("cifar_resnet56", 9, 0.85),
    ],
)
def test_cifar_resnets_have_the_parameters_of_their_paper(name, depth, millions):
    def conv_bn(channels_in, channels_out):
        return channels_in * channels_out * 3 * 3 + 2 * channels_out

    def stage(channels_in, channels):
        first = conv_bn(channels_in, channels) + conv_bn(channels, channels)
        return first + (depth - 1) * 2 * conv_bn(channels, channels)

    expected = conv_bn(3, 16) + stage(16, 16) + stage(16, 32) + stage(32, 64) + 64 * 10 + 10
    assert _cost(name, 10).parameters == expected
    assert round(expected / 1e6, 2) == millions


def test_resnet34_multiply_adds():
    def conv(side, channels_in, channels_out, kernel):
        return side * side * channels_in * channels_out * kernel * kernel

    def bn(side, channels):
        return 2 * side * side * channels

    def stage(side, channels_in, channels, depth):
        same = conv(side, channels, channels, 3) + bn(side, channels)
        first = conv(side, channels_in, channels, 3) + bn(side, channels)
        shortcut = conv(side, channels_in, channels, 1) + bn(side, channels)
        return first + (2 * depth - 1) * same + (shortcut if channels_in != channels else 0)

    expected = (
        conv(112, 3, 64, 7)
        + bn(112, 64)
        + stage(56, 64, 64, 3)
        + stage(28, 64, 128, 4)
        + stage(14, 128, 256, 6)
        + stage(7, 256, 512, 3)
    )
    assert costs.universal_complexity(_graph("resnet34")) == expected
    assert _cost("resnet34", 1000).multiply_adds == expected + 512 * 1000
    # convolutions and classifier alone, as the literature counts
    batch_norms = (
        bn(112, 64)
        + 6 * bn(56, 64)
        + (8 + 1) * bn(28, 128)
        + (12 + 1) * bn(14, 256)
        + (6 + 1) * bn(7, 512)
    )
    assert round((expected - batch_norms + 512 * 1000) / 1e9, 2) == 3.66


def test_wide_block_multiply_adds():
    # The first block: 64x64x32 -> 32x32x64 by two 3x3 convolutions with batch norm, then a gate;
    # its shortcut pools and appends zero channels, which is free.
    expected = (
        32 * 32 * 32 * 64 * 3 * 3
        + 2 * 32 * 32 * 64
        + 32 * 32 * 64 * 64 * 3 * 3
        + 2 * 32 * 32 * 64
        + 32 * 32 * 64
    )
    assert costs.path_multiply_adds(_graph("wide_resnet26"), Path.block(1)) == expected
