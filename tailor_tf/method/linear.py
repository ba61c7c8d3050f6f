"""Linear terms: tensors of a network as sums of scaled tensors and convolutions."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import layers as kl

from tailor_tf.network.blocks import same_padding

Padding = tuple[tuple[int, int], tuple[int, int]]  # zeros before and after, for rows and columns
NO_PADDING: Padding = ((0, 0), (0, 0))


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    """`scale * tensor`, padded with zeros."""

    tensor: Any
    scale: float
    padding: Padding = NO_PADDING

    def times(self, factor: np.ndarray) -> "Identity | None":
        """The term times one factor per channel; `None` if the result is not an `Identity`."""
        if np.ptp(factor) > 0 or factor.flat[0] <= 0:
            return None
        return dataclasses.replace(self, scale=self.scale * float(factor.flat[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution of a tensor, without its bias.

    Attributes:
        tensor: its input, before `padding`.
        padding: zeros around the input.
        layer: the original layer, for its settings; `None` for a 1x1 depthwise convolution.
        kernel: `[height, width, in, out]`; for a depthwise one `[height, width, in, multiplier]`.
        apart: whether it is not merged with others and keeps its layer's name.
        factor: factors `[channels]` of the output, if the kernel is shared and must not change.
    """

    tensor: Any
    padding: Padding
    layer: kl.Layer | None
    kernel: np.ndarray
    apart: bool = False
    factor: np.ndarray | None = None

    @property
    def channels(self) -> int:
        return self.kernel.shape[-1] * (self.kernel.shape[-2] if self.depthwise else 1)

    @property
    def depthwise(self) -> bool:
        return self.layer is None or isinstance(self.layer, kl.DepthwiseConv2D)

    @property
    def strides(self) -> tuple[int, int]:
        return self.layer.strides if self.layer else (1, 1)

    @property
    def dilation(self) -> tuple[int, int]:
        return self.layer.dilation_rate if self.layer else (1, 1)

    @property
    def mergeable(self) -> bool:
        """Whether its kernel can be added to the kernel of a convolution of the same tensor."""
        plain = not self.depthwise and self.layer.groups == 1 and self.dilation == (1, 1)
        alone = self.apart or self.factor is not None
        return plain and self.layer.padding == "valid" and not alone

    def times(self, factor: np.ndarray) -> "Convolution":
        """The term times one factor per output channel."""
        if self.factor is not None:
            return dataclasses.replace(self, factor=self.factor * factor)
        shape = self.kernel.shape[2:] if self.depthwise else (-1,)
        return dataclasses.replace(self, kernel=self.kernel * factor.reshape(shape))


Term = Identity | Convolution


@dataclasses.dataclass(frozen=True, eq=False)
class Sum:
    """A sum of terms and a bias per channel: a tensor of the network that is not computed yet."""

    terms: tuple[Term, ...]
    bias: np.ndarray | float = 0.0


def merged(terms: Sequence[Term]) -> list[Term]:
    """The terms, where terms that one convolution can compute are merged."""
    merged: list[Term] = []
    # Large kernels first, so that smaller ones and identities are merged into them.
    for term in sorted(terms, key=lambda t: -t.kernel.size if isinstance(t, Convolution) else 0):
        for place, into in enumerate(merged):
            if both := _merge_two(into, term):
                merged[place] = both
                break
        else:
            merged.append(term)
    return merged


def _merge_two(into: Term, term: Term) -> Convolution | None:
    """Both terms as one convolution of the size of the first; `None` if that is not possible."""
    if not isinstance(into, Convolution) or not into.mergeable or into.tensor is not term.tensor:
        return None
    if isinstance(term, Identity):
        kernel, strides = term.scale * np.eye(into.kernel.shape[2])[None, None], (1, 1)
    elif term.mergeable:
        kernel, strides = term.kernel, term.strides
    else:
        return None
    # Position of the smaller kernel in the larger one, so that both begin at the same pixel.
    starts = [own[0] - other[0] for own, other in zip(into.padding, term.padding, strict=True)]
    sizes = list(zip(starts, kernel.shape, into.kernel.shape, strict=False))
    if strides != into.strides or not all(s >= 0 and s + n <= room for s, n, room in sizes):
        return None
    total = into.kernel.copy()
    rows, columns = (slice(start, start + size) for start, size, _ in sizes)
    total[rows, columns] += kernel
    return dataclasses.replace(into, kernel=total)


def own_padding(term: Convolution) -> tuple[Padding, str]:
    """Zeros to add around a convolution's input, and the padding that the convolution does itself.

    The convolution pads its input itself if the wanted zeros are the same as with TensorFlow's
    "same". Rows and columns that the kernel never reaches are not added.
    """
    if term.layer and term.layer.padding == "same":
        return NO_PADDING, "same"
    wanted, same = [], []
    for axis, (before, after) in enumerate(term.padding):
        side, stride = term.tensor.shape[1 + axis], term.strides[axis]
        reach = (term.kernel.shape[axis] - 1) * term.dilation[axis] + 1
        last = (side + before + after - reach) // stride * stride + reach - before
        wanted.append((before, max(last - side, 0)))
        same.append(same_padding(side, reach, stride))
    if wanted == same and sum(sum(pair) for pair in wanted):
        return NO_PADDING, "same"
    return tuple(wanted), "valid"
