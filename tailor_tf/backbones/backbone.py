"""Entries of the registry of backbones."""

import dataclasses
from collections.abc import Callable

from tailor_tf.network.graph import BlockGraph


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
