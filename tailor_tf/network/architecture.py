"""The paths of a student, as plain data."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from tailor_tf.network import keys
from tailor_tf.support.errors import TailorError

# Weights of universal blocks that a task may have of its own; each kind includes those before it.
# "statistics", the moving means and variances of batch norms, are the paper's.
OWN = ("statistics", "affine", "depthwise")
STATISTICS, AFFINE, DEPTHWISE = OWN


@dataclasses.dataclass(frozen=True, order=True, kw_only=True)
class Path:
    """One path into a layer: its universal block, the node before, or a proxy of an earlier node.

    Attributes:
        target: the layer `l` that the path leads into, `1..L`.
        source: the node that the path reads, `0..L-1`; `target - 1` unless it is a proxy.
        universal: whether the path is the universal block `G_l`.
        identity: whether the path is the node `x_{l-1}` itself, which needs no weights.

    Example:

    >>> Path.block(3).name, Path.proxy(3, source=1).name, Path.same(3).name
    ('block3', 'block3_proxy1', 'block3_identity')
    """

    target: int
    source: int
    universal: bool
    identity: bool = False

    @classmethod
    def block(cls, layer: int) -> "Path":
        """The universal block of `layer`."""
        return cls(target=layer, source=layer - 1, universal=True)

    @classmethod
    def proxy(cls, layer: int, *, source: int) -> "Path":
        """The proxy from node `source` into `layer`."""
        return cls(target=layer, source=source, universal=False)

    @classmethod
    def same(cls, layer: int) -> "Path":
        """The identity path into `layer`, from the node before it."""
        return cls(target=layer, source=layer - 1, universal=False, identity=True)

    @property
    def name(self) -> str:
        """`block3` for the universal block of layer 3, `block3_proxy1` for its proxy from `x_1`."""
        if self.identity:
            return keys.identity(self.target)
        return keys.block(self.target) if self.universal else keys.proxy(self.target, self.source)

    @property
    def skip(self) -> int:
        """Number of layers that the path covers; 1 unless it is a proxy."""
        return self.target - self.source

    def as_list(self) -> list[int | bool | str]:
        """Target, source and `universal`, or "identity" instead: the form of a path in files."""
        return [self.target, self.source, _IDENTITY if self.identity else self.universal]

    @classmethod
    def from_list(cls, values: Iterable[Any]) -> "Path":
        """The inverse of `as_list`.

        Raises:
            TypeError, ValueError: the values are not those of a path.
        """
        target, source, kind = values
        if (
            type(target) is not int
            or type(source) is not int
            or kind not in (True, False, _IDENTITY)
        ):
            raise TypeError(f"{[target, source, kind]} is no path")
        identity = kind == _IDENTITY
        universal = False if identity else kind
        return cls(target=target, source=source, universal=universal, identity=identity)


_IDENTITY = "identity"


def _gate_order(path: Path) -> tuple[int, bool, bool, int]:
    return path.target, not path.universal, not path.identity, -path.source


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What a student consists of: its paths, where it ends, and which weights are its own.

    Attributes:
        num_blocks: `L`, the number of layers of the universal network.
        paths: the paths, layer by layer: the universal block first, then the identity, then the
            proxies from the nearest source to the farthest. That is also the order of a layer's
            gates.
        depth: the node that the classifier reads; `L`, after all layers, by default.
        own: the weights of universal blocks that belong to the task, one of `OWN`.
        head_channels: channels of the task's own head behind node `depth`, see `graph.read_out`; 0
            for none. Behind node `L`, there is the universal network's head instead.

    Raises:
        TailorError: a path or a depth cannot exist in a network of `num_blocks` blocks, an unknown
            `own`, or a head of the task's own behind the last block.

    Example:

    >>> [path.name for path in Architecture.full(2, max_skip=1).paths]
    ['block1', 'block1_proxy0', 'block2', 'block2_proxy1']
    """

    num_blocks: int
    paths: tuple[Path, ...]
    depth: int | None = None
    own: str = STATISTICS
    head_channels: int = 0

    def __post_init__(self):
        object.__setattr__(self, "paths", tuple(sorted(set(self.paths), key=_gate_order)))
        object.__setattr__(self, "depth", self.num_blocks if self.depth is None else self.depth)
        if not 1 <= self.depth <= self.num_blocks:
            raise TailorError(
                f"The classifier cannot read node {self.depth} of a network of {self.num_blocks} "
                f"blocks; expected 1 to {self.num_blocks}."
            )
        if self.own not in OWN:
            raise TailorError(f"Unknown own weights {self.own!r}; known are {', '.join(OWN)}.")
        if self.head_channels and self.depth == self.num_blocks:
            raise TailorError(
                f"A head of {self.head_channels} channels behind the last block, {self.depth}, "
                "which the universal network's head follows; expected 0 channels there."
            )
        for path in self.paths:
            proxy_ok = 0 <= path.source < path.target <= self.depth
            if not proxy_ok or ((path.universal or path.identity) and path.skip != 1):
                raise TailorError(
                    f"{path} is no path of a network of {self.num_blocks} blocks; expected a "
                    f"source below the target, and a target of at most {self.depth}, the node "
                    "that the classifier reads; all but proxies read the node before their target."
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
        layers = range(1, self.depth + 1)
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
        return tuple(layer for layer in range(1, self.depth + 1) if self.into(layer))

    @property
    def universal_blocks(self) -> tuple[int, ...]:
        """The layers whose universal block exists."""
        return tuple(path.target for path in self.paths if path.universal)

    @property
    def proxies(self) -> tuple[Path, ...]:
        """The proxies."""
        return tuple(path for path in self.paths if not path.universal and not path.identity)

    def with_paths(self, paths: Iterable[Path]) -> "Architecture":
        """The architecture with other paths."""
        return dataclasses.replace(self, paths=tuple(paths))

    def without(self, removed: Iterable[Path]) -> "Architecture":
        """The architecture without some paths; all other paths stay."""
        gone = set(removed)
        return self.with_paths(path for path in self.paths if path not in gone)

    def as_dict(self) -> dict[str, Any]:
        """The architecture as JSON values; values that are the paper's are left out."""
        further = {}
        if self.depth != self.num_blocks:
            further["depth"] = self.depth
        if self.own != STATISTICS:
            further["own"] = self.own
        if self.head_channels:
            further["head_channels"] = self.head_channels
        paths = [path.as_list() for path in self.paths]
        return {"num_blocks": self.num_blocks, "paths": paths, **further}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Architecture":
        """The inverse of `as_dict`.

        Raises:
            KeyError, TypeError, ValueError: the values are not those of an architecture.
        """
        paths = tuple(map(Path.from_list, data["paths"]))
        further = {name: data[name] for name in ("depth", "own", "head_channels") if name in data}
        numbers = [data["num_blocks"], further.get("depth", 1), further.get("head_channels", 0)]
        if any(type(number) is not int or number < 0 for number in numbers):
            raise TypeError(f"{numbers} are no numbers of blocks and channels")
        return cls(data["num_blocks"], paths, **further)
