"""Taking batch norms out of float kernels again, so that tasks can share them.

The converter folds factors behind a convolution into its kernel. Here, in the flatbuffer, a kernel
that is a universal one times a factor per output channel becomes the universal one again, and a
depthwise convolution of 1x1 behind it multiplies by the factors and has the bias and the ReLU, all
in one pass over the tensor. int8 kernels have the factors in their scales and are left as they are.
"""

import collections
import copy
from collections.abc import Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.tflite import flatbuffer

_TYPES = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.INT8: "int8",
}
# How far a kernel may be from a multiple: as a share of its channel's largest value, and besides.
_ROUNDING = {"float32": (1e-5, 0.0), "float16": (1e-3, 6e-8), "int8": (0.0, 1.0)}


def unfold(content: bytes, kernels: Sequence[np.ndarray]) -> tuple[bytes, collections.Counter[str]]:
    """Gives the universal kernels of a file the values that they have in the universal network.

    Args:
        content: a flatbuffer with one subgraph.
        kernels: the universal kernels, float32 `[out, height, width, in]`.

    Returns:
        The flatbuffer with them, and the number of convolutions that have one, by type: "float32",
        "float16" or "int8".
    """
    model = flatbuffer.read(content)
    (graph,) = model.subgraphs
    makers = {int(operator.outputs[0]): operator for operator in graph.operators}
    found, operators = collections.Counter(), []
    for operator in graph.operators:
        operators.append(operator)
        if not _is_convolution(model, operator):
            continue
        tensor = _kernel(graph, makers, operator)
        kernel, factors = _universal(model, tensor, kernels)
        if kernel is None:
            continue
        kind = _TYPES[tensor.type]
        found[kind] += 1
        if kind != "int8":
            tensor.buffer = _buffer(model, kernel.astype(kind))
            operators.append(_multiplied(model, operator, factors))
    graph.operators = operators
    return flatbuffer.write(model), found


def _is_convolution(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    code = model.operatorCodes[operator.opcodeIndex].builtinCode
    return code == schema.BuiltinOperator.CONV_2D


def _kernel(
    graph: schema.SubGraphT, makers: Mapping[int, schema.OperatorT], convolution: schema.OperatorT
) -> schema.TensorT:
    """The constant that a convolution has as its kernel.

    Args:
        graph: the graph.
        makers: operators by the tensors that they make.
        convolution: an operator of the graph.
    """
    place = int(convolution.inputs[1])
    if place in makers:  # a float16 kernel is widened by an operator of its own
        place = int(makers[place].inputs[0])
    return graph.tensors[place]


def _universal(
    model: schema.ModelT, tensor: schema.TensorT, kernels: Sequence[np.ndarray]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The universal kernel that a tensor is a multiple of, and the factors; `None` if of none."""
    kind = _TYPES[tensor.type]
    values = model.buffers[tensor.buffer].data.view(kind).reshape(tensor.shape)
    for kernel in kernels:
        factors = _multiples(values, kernel, *_ROUNDING[kind])
        if factors is not None:
            return kernel, factors
    return None, None


def _multiples(
    values: np.ndarray, kernel: np.ndarray, relative: float, absolute: float
) -> np.ndarray | None:
    """Factors, float32 `[out]`, by which a kernel is a multiple of another one; `None` if not."""
    if values.shape != kernel.shape:
        return None
    many, one = (np.float64(k).reshape(len(k), -1) for k in (values, kernel))
    square = (one**2).sum(-1)
    factors = (many * one).sum(-1) / np.where(square > 0, square, 1)
    error = np.abs(many - factors[:, None] * one).max(-1)
    near = error <= relative * np.abs(many).max(-1) + absolute
    return factors.astype(np.float32) if near.all() else None


def _multiplied(
    model: schema.ModelT, convolution: schema.OperatorT, factors: np.ndarray
) -> schema.OperatorT:
    """Moves bias and activation of a convolution into an operator behind it, which is returned."""
    (graph,) = model.subgraphs
    bias = int(convolution.inputs[2])
    (output,) = convolution.outputs
    between = len(graph.tensors)
    graph.tensors.append(copy.copy(graph.tensors[output]))
    factor = _constant(model, factors.reshape(1, 1, 1, -1))
    zeros = _constant(model, np.zeros_like(factors))  # LiteRT takes no convolution without bias
    convolution.inputs = np.array([*convolution.inputs[:2], zeros], np.int32)
    convolution.outputs = np.array([between], np.int32)
    options = schema.DepthwiseConv2DOptionsT(
        padding=schema.Padding.VALID,
        strideW=1,
        strideH=1,
        depthMultiplier=1,
        fusedActivationFunction=convolution.builtinOptions.fusedActivationFunction,
    )
    convolution.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
    return schema.OperatorT(
        opcodeIndex=_depthwise(model),
        inputs=np.array([between, factor, bias], np.int32),
        outputs=np.array([output], np.int32),
        builtinOptionsType=schema.BuiltinOptions.DepthwiseConv2DOptions,
        builtinOptions=options,
    )


def _constant(model: schema.ModelT, values: np.ndarray) -> int:
    """Adds a float32 tensor and returns its index."""
    (graph,) = model.subgraphs
    shape, kind = np.array(values.shape, np.int32), schema.TensorType.FLOAT32
    graph.tensors.append(schema.TensorT(shape, kind, _buffer(model, values), hasRank=True))
    return len(graph.tensors) - 1


def _buffer(model: schema.ModelT, values: np.ndarray) -> int:
    """Adds a buffer and returns its index."""
    data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(schema.BufferT(data=data))
    return len(model.buffers) - 1


def _depthwise(model: schema.ModelT) -> int:
    """Index of the operator code of depthwise convolutions; added where there is none."""
    wanted = schema.BuiltinOperator.DEPTHWISE_CONV_2D
    for place, code in enumerate(model.operatorCodes):
        if code.builtinCode == wanted:
            return place
    code = schema.OperatorCodeT(deprecatedBuiltinCode=wanted, builtinCode=wanted, version=1)
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
