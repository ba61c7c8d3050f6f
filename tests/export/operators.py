"""What a TFLite file consists of, for tests."""

from ai_edge_litert import schema_py_generated as schema

from export.tflite import flatbuffer

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def _names(enumeration):
    return {value: name for name, value in vars(enumeration).items()}


_KINDS = _names(schema.BuiltinOperator)
_ACTIVATIONS = _names(schema.ActivationFunctionType)


def operators(content):
    """Kind and fused activation, "" where it can have none, of each operator of a file."""
    model = flatbuffer.read(content)
    (graph,) = model.subgraphs
    return [(_kind(model, each), _activation(each)) for each in graph.operators]


def kernels(content):
    """The tensor of each convolution's kernel, and the convolution's kind."""
    model = flatbuffer.read(content)
    (graph,) = model.subgraphs
    convolutions = [each for each in graph.operators if _kind(model, each) in _CONVOLUTIONS]
    return [(graph.tensors[each.inputs[1]], _kind(model, each)) for each in convolutions]


def _kind(model, operator):
    return _KINDS[model.operatorCodes[operator.opcodeIndex].builtinCode]


def _activation(operator):
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", None)
    return "" if fused is None else _ACTIVATIONS[fused]
