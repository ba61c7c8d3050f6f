"""int8 files in which the layers that int8 harms most stay float: selective quantisation.

TensorFlow's `QuantizationDebugger` compares each layer with the same layer in float, on the inputs
that it has in the int8 network. The noise of a layer is the mean over its channels of the share of
the error in the variance of the channel. A channel whose values are small beside those of another
channel is mostly noise, as all of them share one scale, and so is the layer that reads it.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from export.tflite import single

MOST_LAYERS = 3  # a loud channel harms two: its own layer, and the one that reads it

_IMAGES = 40  # on which layers are compared
_NOISE, _NODE = "noise", "tensor_name"  # columns of the debugger's table
_tools = tf.lite.experimental


def candidates(
    network: keras.Model, samples: Sequence[np.ndarray]
) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """int8 files with one float layer, with two, and so on, up to `MOST_LAYERS`.

    Args:
        network: as for `single.convert`.
        samples: representative images, as for `single.convert`.

    Yields:
        Names of the layers that stay float, and the flatbuffer.
    """
    nodes: list[str] = []
    with single.converter(network, "int8", samples) as converter:
        maker = _tools.QuantizationDebugger(
            converter=converter, debug_dataset=lambda: iter(()), debug_options=_options(nodes)
        )
    while len(nodes) < MOST_LAYERS:
        nodes.append(_noisiest(maker.get_debug_quantized_model(), samples))
        with single.without_warnings():
            maker.options = _options(nodes)
        names = tuple(_layer(node, network) for node in nodes)
        yield names, maker.get_nondebug_quantized_model()


def _options(float_nodes: Sequence[str]) -> _tools.QuantizationDebugOptions:
    return _tools.QuantizationDebugOptions(denylisted_nodes=list(float_nodes))


def _noisiest(content: bytes, samples: Sequence[np.ndarray]) -> str:
    """Name of the tensor that the layer with the most noise makes.

    Args:
        content: an int8 network with layers in float beside it, to compare with.
        samples: representative images.
    """
    some = samples[:: -(-len(samples) // _IMAGES)]
    with single.without_warnings():
        # Made of the content, not of a converter: only then do all tensors keep their values.
        debugger = _tools.QuantizationDebugger(
            quant_debug_model_content=content,
            debug_dataset=lambda: ([image] for image in some),
            debug_options=_tools.QuantizationDebugOptions(
                layer_direct_compare_metrics={_NOISE: noise}
            ),
        )
    debugger.run()
    table = io.StringIO()
    debugger.layer_statistics_dump(table)
    table.seek(0)
    return max(csv.DictReader(table), key=lambda row: float(row[_NOISE]))[_NODE]


def noise(values: np.ndarray, levels: np.ndarray, scale: float, zero_point: int) -> float:
    """Noise of a layer, 0..1: the share of the error in variance and error, mean over channels.

    Args:
        values: the layer's output in float, `[1, height, width, channels]`, or `[1, channels]`,
            which count as one channel.
        levels: the same in int8.
        scale: value of an int8 step.
        zero_point: int8 level of the value 0.
    """
    values = np.float64(values)
    errors = (np.float64(levels) - zero_point) * scale - values
    positions = (0, 1, 2) if values.ndim == 4 else None
    error, variance = (errors**2).mean(positions), values.var(positions)
    total = error + variance
    return float(np.mean(error / np.where(total > 0, total, 1)))


def _layer(node: str, network: keras.Model) -> str:
    """Name of the layer in a network that makes a tensor of its file.

    The tensor is named by the operations that are fused, such as
    "network_1/re_lu_4_1/Relu6;network_1/block2_conv_1/BiasAdd": layers have a number at the end.
    """
    with_kernel = {layer.name for layer in network.layers if layer.weights}
    for part in re.split("[/;]", node):
        for name in (re.sub(r"_\d+$", "", part), part):
            if name in with_kernel:
                return name
    return node.partition(";")[0]
