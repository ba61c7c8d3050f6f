"""Entries of the registry of backbones, and what they have in common."""

import dataclasses
from collections.abc import Callable

from tailor_tf.network.graph import BlockGraph
from tailor_tf.support.errors import TailorError


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network that can be universal, registered by its name in `backbones.BACKBONES`.

    Attributes:
        describe: function of keyword settings, such as `image_size`; returns the network's
            description.
        torch_name: function from the key of a weight to its name in PyTorch; `None` if no PyTorch
            program has weights of this network.
    """

    describe: Callable[..., BlockGraph]
    torch_name: Callable[[str], str] | None = None


def check_size(name: str, image_size: int, stride: int) -> None:
    """Refuses an image size that the strides of a backbone do not divide.

    Args:
        name: the backbone's name.
        image_size: side of its square input, pixels.
        stride: product of its strides.

    Raises:
        TailorError: the size is not a positive multiple of `stride`.
    """
    if image_size <= 0 or image_size % stride:
        raise TailorError(
            f"{name} got image_size {image_size}; expected a positive multiple of {stride}, "
            "the product of its strides."
        )
