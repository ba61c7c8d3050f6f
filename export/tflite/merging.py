"""Flatbuffers of several tasks put together, equal constants once."""

from collections.abc import Mapping
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from export.tflite import flatbuffer

_VERSION = 3  # of TFLite's schema


def merge(contents: Mapping[str, bytes]) -> bytes:
    """Puts flatbuffers together, equal constants once.

    Args:
        contents: flatbuffers of `single.convert`, by task.

    The integer biases of a task's convolutions are its own, also if another task has equal ones.
    LiteRT's cache of packed weights knows a packing by the places of kernel and bias alone, and not
    by the scales, which are part of it: tasks that share both would get each other's scales.

    Returns:
        A flatbuffer with a signature per task, of the task's name, `images` to `logits`.
    """
    merged = schema.ModelT(
        version=_VERSION,
        operatorCodes=[],
        subgraphs=[],
        buffers=[schema.BufferT()],
        signatureDefs=[],
    )
    buffers: dict[Any, int] = {b"": 0}  # the first buffer belongs to everything that is computed
    codes: dict[Any, int] = {}
    for name, content in contents.items():
        _add(merged, name, flatbuffer.read(content), buffers, codes)
    return flatbuffer.write(merged, apart=_biases(merged))


def _biases(model: schema.ModelT) -> list[int]:
    """Positions of the buffers of all integer biases."""
    return [
        graph.tensors[position].buffer for graph in model.subgraphs for position in _bias_of(graph)
    ]


def _bias_of(graph: schema.SubGraphT) -> set[int]:
    """Positions of a graph's tensors that are integer biases, int32 third inputs of operators."""
    thirds = {int(op.inputs[2]) for op in graph.operators if len(op.inputs) > 2}
    return {i for i in thirds if i >= 0 and graph.tensors[i].type == schema.TensorType.INT32}


def _add(
    merged: schema.ModelT,
    name: str,
    model: schema.ModelT,
    buffers: dict[Any, int],
    codes: dict[Any, int],
) -> None:
    """Adds a task's model to the merged one; knows places of buffers and codes by content."""
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    biases = _bias_of(graph)
    for position, tensor in enumerate(graph.tensors):
        buffer = model.buffers[tensor.buffer]
        key = b"" if buffer.data is None else buffer.data.tobytes()
        if key and position in biases:
            key = (name, position)
        tensor.buffer = _place(merged.buffers, buffers, key, buffer)
        tensor.name = None  # signatures have names of their own
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        key = (code.builtinCode, code.customCode, code.version)
        operator.opcodeIndex = _place(merged.operatorCodes, codes, key, code)
    graph.name = signature.signatureKey = name
    signature.subgraphIndex = len(merged.subgraphs)
    merged.subgraphs.append(graph)
    merged.signatureDefs.append(signature)


def _place(items: list[Any], places: dict[Any, int], key: object, item: object) -> int:
    """Position of an item of that key in a list; it is added if there is none."""
    if key not in places:
        places[key] = len(items)
        items.append(item)
    return places[key]
