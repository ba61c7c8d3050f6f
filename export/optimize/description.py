"""Description of a network as plain data, from which another Keras builds the same one."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
from keras import tree

from tailor_tf.method.folding import call_arguments, readers

KERNELS = ("Conv2D", "DepthwiseConv2D", "Dense")

# Settings that are carried over of each kind of layer; a network with other kinds is refused.
SETTINGS = {
    "InputLayer": ("batch_shape",),
    "Conv2D": (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "dilation_rate",
        "groups",
        "use_bias",
    ),
    "DepthwiseConv2D": (
        "kernel_size",
        "strides",
        "padding",
        "dilation_rate",
        "depth_multiplier",
        "use_bias",
    ),
    "Dense": ("units", "use_bias"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Add": (),
    "ZeroPadding2D": ("padding",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "GlobalAveragePooling2D": (),
    "Pad": ("pad_width",),
    "GetItem": (),
}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation of a network.

    Attributes:
        name: its name.
        kind: its class, one of `SETTINGS`.
        config: its settings.
        inputs: names of the operations whose outputs it reads.
        weights: paths of its weights, in Keras's order.
        trainable: whether its weights are trained.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: Sequence[str]
    weights: Sequence[str]
    trainable: bool

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Operation":
        """The inverse of `as_dict`."""
        return cls(**data)


def unknown_layers(network: keras.Model) -> list[str]:
    """Kinds of layers of a network that cannot be described."""
    return sorted({type(operation).__name__ for operation in network.operations} - set(SETTINGS))


def describe(network: keras.Model, fixed: Collection[str] = ()) -> list[Operation]:
    """Describes a network by its operations, each after its inputs.

    A ReLU or ReLU6 that alone reads a convolution becomes part of it: TensorFlow Model Optimization
    leaves the kernel of a convolution unquantised if a ReLU layer follows.

    Args:
        network: functional, of kinds of layers in `SETTINGS`.
        fixed: names of operations that are not to be trained.
    """
    read = readers(network)
    made: dict[int, Operation] = {}  # by the tensor that an operation makes
    described = []
    for operation in network.operations:
        sources = [] if _kind(operation) == "InputLayer" else tree.flatten(operation.input)
        before = made[id(sources[0])] if sources else None
        fused = _fused_activation(operation)
        if fused and before.kind in KERNELS and read[id(sources[0])] == 1:
            entry = dataclasses.replace(before, config={**before.config, "activation": fused})
            described[described.index(before)] = entry
        else:
            inputs = [made[id(tensor)].name for tensor in sources]
            entry = _described(operation, inputs, operation.name not in fixed)
            described.append(entry)
        made[id(operation.output)] = entry
    return described


def _kind(operation: keras.Operation) -> str:
    return type(operation).__name__


def _settings(operation: keras.Operation) -> dict[str, Any]:
    config = operation.get_config()
    return {name: config[name] for name in SETTINGS[_kind(operation)]}


def _fused_activation(operation: keras.Operation) -> str | None:
    """Name of the activation that an operation is, if it can be part of a convolution."""
    if _kind(operation) != "ReLU":
        return None
    settings = _settings(operation)
    most = settings.pop("max_value")
    return None if any(settings.values()) else {None: "relu", 6: "relu6"}.get(most)


def _described(operation: keras.Operation, inputs: Sequence[str], trainable: bool) -> Operation:
    config = _settings(operation)
    if _kind(operation) == "GetItem":
        slices = call_arguments(operation).args[1]
        config["slices"] = [[each.start, each.stop, each.step] for each in slices]
    weights = [variable.path for variable in getattr(operation, "weights", ())]
    return Operation(operation.name, _kind(operation), config, inputs, weights, trainable)
