"""Latencies of stem, blocks, proxies and head, and the predicted latency of whole networks."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from tailor_tf.network import keys
from tailor_tf.network.architecture import Architecture, Path


@dataclasses.dataclass(frozen=True)
class Latencies:
    """Latencies of a universal network and its proxies, measured on one machine for one image.

    Pieces are measured alone and are faster then, because their data stays in the processor's
    caches. `scale` is the factor from a piece's latency alone to its latency inside a network.

    Attributes:
        pieces: milliseconds by name: "stem", "head" (classifier included), "exit3" (the mean and
            classifier that read node 3 instead of the last one), the name of each path, and
            "block3_sum", the addition of one more path into layer 3.
        network: milliseconds of the universal network, measured as a whole.
        call: milliseconds of a call of an empty network, contained in `network` only.
        num_blocks: `L`.
        measured_on: conditions of the measurement: machine, runtime, precision, threads.
    """

    pieces: Mapping[str, float]
    network: float
    call: float
    num_blocks: int
    measured_on: Mapping[str, str]

    @property
    def scale(self) -> float:
        """Latency of a piece inside a network, divided by its latency alone."""
        blocks = map(keys.block, range(1, self.num_blocks + 1))
        return (self.network - self.call) / self._total([keys.STEM, *blocks, keys.HEAD])

    @property
    def universal(self) -> float:
        """Milliseconds of stem and blocks inside the universal network."""
        return self.network - self.call - self.scale * self.pieces[keys.HEAD]

    def whole(self, depth: int, head_channels: int = 0) -> float:
        """Milliseconds of the universal network, with the classifier behind node `depth`.

        Args:
            depth: number of the node.
            head_channels: channels of the task's own head there; 0 for none.
        """
        if depth == self.num_blocks:
            return self.network
        left_out = [*map(keys.block, range(depth + 1, self.num_blocks + 1)), keys.HEAD]
        changed = self._total(left_out) - self._total([self._end(depth, head_channels)])
        return self.network - self.scale * changed

    def _end(self, depth: int, head_channels: int) -> str:
        """Name of what follows node `depth` in a network that ends there."""
        last = depth == self.num_blocks
        return keys.HEAD if last else keys.exit_behind(depth, head_channels)

    def path(self, path: Path) -> float:
        """Milliseconds of a path into a layer; for a proxy with its addition to the other paths."""
        if path.identity:
            return 0.0
        pieces = [path.name] if path.universal else [path.name, keys.path_sum(path.target)]
        return self.scale * self._total(pieces)

    def student(self, architecture: Architecture) -> float:
        """Predicted milliseconds of a compacted student."""
        weighted = [path for path in architecture.paths if not path.identity]
        end = self._end(architecture.depth, architecture.head_channels)
        pieces = [keys.STEM, end, *(path.name for path in weighted)]
        for layer in architecture.layers:
            proxies = sum(path in weighted for path in architecture.into(layer))
            pieces += [keys.path_sum(layer)] * max(proxies - 1, 0)
        return self.call + self.scale * self._total(pieces)

    def _total(self, names: Iterable[str]) -> float:
        return sum(self.pieces[name] for name in names)

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Latencies":
        """The inverse of `as_dict`; further entries are ignored."""
        return cls(**{field.name: data[field.name] for field in dataclasses.fields(cls)})
