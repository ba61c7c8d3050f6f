"""The paths of a student, as plain data."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from tailor_tf.network import keys
from tailor_tf.support.errors import TailorError


@dataclasses.dataclass(frozen=True, order=True, kw_only=True)
class Path:
    """One path into a layer: its universal block, or a proxy from an earlier node.

    Attributes:
        target: the layer `l` that the path leads into, `1..L`.
        source: the node that the path reads, `0..L-1`; `target - 1` for a universal block.
        universal: whether the path is the universal block `G_l`.

    Example:

    >>> Path.block(3).name, Path.proxy(3, source=1).name
    ('block3', 'block3_proxy1')
    """

    target: int
    source: int
    universal: bool

    @classmethod
    def block(cls, layer: int) -> "Path":
        """The universal block of `layer`."""
        return cls(target=layer, source=layer - 1, universal=True)

    @classmethod
    def proxy(cls, layer: int, *, source: int) -> "Path":
        """The proxy from node `source` into `layer`."""
        return cls(target=layer, source=source, universal=False)

    @property
    def name(self) -> str:
        """`block3` for the universal block of layer 3, `block3_proxy1` for its proxy from `x_1`."""
        return keys.block(self.target) if self.universal else keys.proxy(self.target, self.source)

    @property
    def skip(self) -> int:
        """Number of layers that the path covers; 1 for a universal block."""
        return self.target - self.source

    def as_list(self) -> list[int | bool]:
        """Target, source and `universal`: the form of a path in files."""
        return [self.target, self.source, self.universal]

    @classmethod
    def from_list(cls, values: Iterable[Any]) -> "Path":
        """The inverse of `as_list`."""
        target, source, universal = values
        return cls(target=target, source=source, universal=universal)


def _gate_order(path: Path) -> tuple[int, bool, int]:
    return path.target, not path.universal, -path.source


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The paths that exist in a student.

    Attributes:
        num_blocks: `L`, the number of layers of the universal network.
        paths: the paths, layer by layer: the universal block first, then the proxies from the
            nearest source to the farthest. That is also the order of a layer's gates.

    Raises:
        TailorError: a path cannot exist in a network of `num_blocks` blocks.

    Example:

    >>> [path.name for path in Architecture.full(2, max_skip=1).paths]
    ['block1', 'block1_proxy0', 'block2', 'block2_proxy1']
    """

    num_blocks: int
    paths: tuple[Path, ...]

    def __post_init__(self):
        object.__setattr__(self, "paths", tuple(sorted(set(self.paths), key=_gate_order)))
        for path in self.paths:
            proxy_ok = 0 <= path.source < path.target <= self.num_blocks
            if not proxy_ok or (path.universal and path.skip != 1):
                raise TailorError(
                    f"{path} is no path of a network of {self.num_blocks} blocks; expected a "
                    "source below the target, and the node before it for a universal block."
                )

    @classmethod
    def full(cls, num_blocks: int, max_skip: int | None = 3) -> "Architecture":
        """All universal blocks, and into each layer a proxy from each of the last `max_skip` nodes.

        Args:
            num_blocks: `L`.
            max_skip: largest number of layers that a proxy may cover; `None` for no limit (dense).

        Raises:
            TailorError: `max_skip` is below one.
        """
        if max_skip is not None and max_skip < 1:
            raise TailorError(f"max_skip is {max_skip}; expected 1 or more, or None for dense.")
        reach = num_blocks if max_skip is None else max_skip
        layers = range(1, num_blocks + 1)
        proxies = [
            Path.proxy(layer, source=source)
            for layer in layers
            for source in range(max(layer - reach, 0), layer)
        ]
        return cls(num_blocks, (*map(Path.block, layers), *proxies))

    @functools.cached_property
    def _into(self) -> dict[int, tuple[Path, ...]]:
        layers = range(1, self.num_blocks + 1)
        return {layer: tuple(p for p in self.paths if p.target == layer) for layer in layers}

    def into(self, layer: int) -> tuple[Path, ...]:
        """The paths into `layer`, in gate order."""
        return self._into[layer]

    def out_of(self, node: int) -> tuple[Path, ...]:
        """The paths that read `x_node`."""
        return tuple(path for path in self.paths if path.source == node)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have at least one path into them."""
        return tuple(layer for layer in range(1, self.num_blocks + 1) if self.into(layer))

    @property
    def universal_blocks(self) -> tuple[int, ...]:
        """The layers whose universal block exists."""
        return tuple(path.target for path in self.paths if path.universal)

    @property
    def proxies(self) -> tuple[Path, ...]:
        """The proxies."""
        return tuple(path for path in self.paths if not path.universal)

    def without(self, removed: Iterable[Path]) -> "Architecture":
        """The architecture without some paths; all other paths stay."""
        gone = set(removed)
        return Architecture(self.num_blocks, tuple(p for p in self.paths if p not in gone))

    def as_dict(self) -> dict[str, Any]:
        """The architecture as JSON values."""
        return {"num_blocks": self.num_blocks, "paths": [path.as_list() for path in self.paths]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Architecture":
        """The inverse of `as_dict`."""
        return cls(data["num_blocks"], tuple(map(Path.from_list, data["paths"])))
