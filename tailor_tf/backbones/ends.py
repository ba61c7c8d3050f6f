"""Ends of the units that a network was built of: the places where it can be cut into blocks.

A unit is, for example, a bottleneck or an inverted residual. An end is a tensor that is the only
input of all later layers. Tensors inside a unit that are not the sum of branches also have this
property, such as the expanded tensor of an inverted residual without shortcut. They are recognised
by the layers around them and left out.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers as kl
from keras import tree

from tailor_tf.backbones.flattening import ACTIVATIONS
from tailor_tf.network.counting import layer_multiply_adds

_ACTIVATION_OPS = {  # classes of `keras.ops` and of `keras.activations`
    *("ReLU", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Silu", "Softplus"),
    *("Sigmoid", "HardSigmoid", "HardSilu", "HardTanh", "Tanh", "Softmax", "LogSoftmax"),
}
_NORMS = (kl.BatchNormalization, kl.LayerNormalization, kl.GroupNormalization)
_POOLS = (kl.MaxPooling2D, kl.AveragePooling2D)
_MERGES = (kl.Add, kl.Concatenate, kl.Multiply, kl.Average, kl.Maximum)


@dataclasses.dataclass(frozen=True, eq=False)
class End:
    """A possible end of a block: a tensor that is the only input of all later layers.

    Attributes:
        tensor: the tensor.
        cost: multiply-adds of all layers up to the tensor, for one image.
        kernels: number of layers with weights up to the tensor, without normalisations.
        rectified: whether the tensor is the output of a plain ReLU.
        before: the input of that ReLU; if there is none, the tensor itself.
    """

    tensor: Any
    cost: int
    kernels: int
    rectified: bool
    before: Any


class Wiring:
    """Which operation of a flattened network makes a tensor, and which operations read it."""

    def __init__(self, flat: keras.Model):
        self._makers: dict[int, keras.Operation] = {}
        self._readers: dict[int, list[keras.Operation]] = {}
        for operation in flat.operations:
            self._makers[id(operation.output)] = operation
            for tensor in unique(operation.input) if operation.output is not flat.input else ():
                self._readers.setdefault(id(tensor), []).append(operation)

    def readers(self, tensor: Any) -> Sequence[keras.Operation]:
        """The operations that read `tensor`."""
        return self._readers.get(id(tensor), ())

    def kernel_before(self, tensor: Any) -> keras.Operation | None:
        """The layer with a kernel that made `tensor`, before its normalisation, activation, gate.

        Returns:
            `None` if branches meet in between.
        """
        operation = self._makers[id(tensor)]
        while not has_kernel(operation):
            [gated, *others] = sorted(unique(operation.input), key=_pixels, reverse=True)
            if isinstance(operation, kl.InputLayer) or (others and not _is_gating(operation)):
                return None
            operation = self._makers[id(gated)]
        return operation

    def kernel_after(self, tensor: Any) -> keras.Operation | None:
        """The layer with a kernel that reads `tensor`, after its gate, normalisation, activation.

        Returns:
            `None` if the tensor is read by several branches, other than those of its gate.
        """
        while True:
            readers = self.readers(tensor)
            gates = [reader for reader in readers if _is_gating(reader)]
            if len(gates or readers) != 1:
                return None
            [operation] = gates or readers
            if has_kernel(operation):
                return operation
            tensor = operation.output

    def is_linear(self, operation: keras.Operation) -> bool:
        """Whether the output of a layer, after its normalisation, has no activation and no gate."""
        tensor = operation.output
        while True:
            readers = self.readers(tensor)
            if any(_is_activation(reader) or _is_gating(reader) for reader in readers):
                return False
            if len(readers) != 1 or not isinstance(readers[0], _NORMS):
                return True
            tensor = readers[0].output


def unique(tensors: Any) -> list[Any]:
    """The tensors of a nested structure, each once."""
    return list({id(tensor): tensor for tensor in tree.flatten(tensors)}.values())


def single_tensors(flat: keras.Model, wiring: Wiring) -> list[Any]:
    """The tensors that are the only input of all later operations, in order, without the image."""
    alive = {id(flat.input): len(wiring.readers(flat.input))}
    found = []
    for operation in flat.operations[1:]:
        for tensor in unique(operation.input):
            alive[id(tensor)] -= 1
        output = operation.output
        alive[id(output)] = len(wiring.readers(output))
        alive = {key: count for key, count in alive.items() if count}
        if set(alive) <= {id(output)}:
            found.append(output)
    return found


def unit_ends(flat: keras.Model) -> list[End]:
    """The ends of the stem and of all units of a flattened network, in order.

    The stem ends with the first convolution, its activation and its pool. A 1x1 convolution after
    the last unit belongs to the head, so that the last end is before it.
    """
    wiring = Wiring(flat)
    ends = _only_first_after_a_kernel(_all_ends(flat, wiring))
    units = _narrow([end for end in ends[1:] if not _is_inside(end.tensor, wiring)])
    if len(units) > 1 and units[-1].kernels == units[-2].kernels + 1:
        alone = wiring.kernel_before(units[-1].tensor)
        units = units[:-1] if _is_pointwise(alone) else units
    return ends[:1] + units


def _all_ends(flat: keras.Model, wiring: Wiring) -> list[End]:
    single = {id(tensor) for tensor in single_tensors(flat, wiring)}
    ends, cost, kernels = [], 0, 0
    for operation in flat.operations[1:]:
        cost += layer_multiply_adds(operation) if isinstance(operation, keras.Layer) else 0
        kernels += has_kernel(operation)
        output = operation.output
        if kernels and id(output) in single and _may_end(operation, wiring):
            rectified = _is_relu(operation)
            before = operation.input if rectified else output
            ends.append(End(output, cost, kernels, rectified, before))
    return ends


def _only_first_after_a_kernel(ends: Sequence[End]) -> list[End]:
    """Leaves out an end if there are only norms and activations between the end before and it."""
    groups = itertools.groupby(ends, key=lambda end: end.kernels)
    return [next(group) for _, group in groups]


def _is_inside(tensor: Any, wiring: Wiring) -> bool:
    """Whether a tensor is inside an inverted residual or a depthwise separable convolution.

    Inside are the input of a squeeze-and-excite gate, the output of the depthwise convolution, and
    the expanded tensor before a projection. A projection is a 1x1 convolution without activation.
    """
    if any(_is_gating(reader) for reader in wiring.readers(tensor)):
        return True
    before, after = wiring.kernel_before(tensor), wiring.kernel_after(tensor)
    if before is None or after is None or wiring.is_linear(before):
        return False
    if _is_pointwise(after):
        return isinstance(before, kl.DepthwiseConv2D) or wiring.is_linear(after)
    if not (_is_pointwise(before) and isinstance(after, kl.DepthwiseConv2D)):
        return False
    last = wiring.kernel_after(after.output)
    return _is_pointwise(last) and wiring.is_linear(last)


def _narrow(ends: Sequence[End]) -> list[End]:
    """Leaves out ends inside a unit that widens its channels: a later end has half as many."""
    channels = [end.tensor.shape[-1] for end in ends]
    fewest_later = [*itertools.accumulate(reversed(channels[1:]), min)][::-1]
    kept = [own < 2 * later for own, later in zip(channels, fewest_later, strict=False)]
    return [*itertools.compress(ends, kept), *ends[-1:]]


def has_kernel(operation: keras.Operation) -> bool:
    """Whether an operation has weights and is no normalisation."""
    weighted = isinstance(operation, keras.Layer) and bool(operation.weights)
    return weighted and not isinstance(operation, _NORMS)


def _pixels(tensor: Any) -> int:
    return math.prod(tensor.shape[1:3])


def _is_pointwise(operation: keras.Operation | None) -> bool:
    """Whether an operation is a 1x1 convolution."""
    return type(operation) is kl.Conv2D and operation.kernel_size == (1, 1)


def _is_gating(operation: keras.Operation) -> bool:
    """Whether an operation multiplies two tensors, as a squeeze-and-excite gate does."""
    multiplies = isinstance(operation, kl.Multiply) or type(operation).__name__ == "Multiply"
    return multiplies and len(tree.flatten(operation.input)) > 1


def _is_activation(operation: keras.Operation) -> bool:
    return isinstance(operation, ACTIVATIONS) or type(operation).__name__ in _ACTIVATION_OPS


def _may_end(operation: keras.Operation, wiring: Wiring) -> bool:
    """Whether a block may end after an operation: not before its normalisation or activation."""
    followers = wiring.readers(operation.output)
    if isinstance(operation, kl.ZeroPadding2D):
        return False
    if followers and all(_leads_to_a_pool(follower, wiring) for follower in followers):
        return False
    finished = not followers or not all(map(_is_activation, followers))
    if isinstance(operation, _MERGES) or not isinstance(operation, keras.Layer):
        return finished
    unfinished = has_kernel(operation) and any(isinstance(f, _NORMS) for f in followers)
    return finished and not unfinished


def _leads_to_a_pool(operation: keras.Operation, wiring: Wiring) -> bool:
    """Whether an operation is a pool, or pads the input of one."""
    if isinstance(operation, kl.ZeroPadding2D):
        return all(isinstance(reader, _POOLS) for reader in wiring.readers(operation.output))
    return isinstance(operation, _POOLS)


def _is_relu(operation: keras.Operation) -> bool:
    if isinstance(operation, kl.ReLU):
        return not (operation.max_value or operation.negative_slope or operation.threshold)
    relus = (keras.activations.relu, keras.ops.relu)
    return isinstance(operation, kl.Activation) and operation.activation in relus
