"""Latencies of the pieces that networks over one universal network are made of."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from tailor_tf.network import keys
from tailor_tf.network.architecture import Architecture, Path


@dataclasses.dataclass(frozen=True)
class Latencies:
    """What was measured of a universal network and its proxies on one machine, one image at a time.

    Pieces are measured alone, where all that they need stays in the caches; `scale` carries that
    over to pieces of a whole network.

    Attributes:
        pieces: milliseconds by name: "stem", "head" (classifier included), every path's name, and
            "block3_sum", what one more path into layer 3 adds beside itself.
        network: milliseconds of the universal network, measured as a whole.
        call: milliseconds of a call of a network with nothing in it, contained in `network` only.
        num_blocks: `L`.
        measured_on: what they hold for: machine, runtime, precision, threads.
    """

    pieces: Mapping[str, float]
    network: float
    call: float
    num_blocks: int
    measured_on: Mapping[str, str]

    @property
    def scale(self) -> float:
        """A piece's time within a network over its time alone."""
        blocks = map(keys.block, range(1, self.num_blocks + 1))
        return (self.network - self.call) / self._total([keys.STEM, *blocks, keys.HEAD])

    @property
    def universal(self) -> float:
        """Milliseconds of stem and blocks."""
        return self.network - self.call - self.scale * self.pieces[keys.HEAD]

    def path(self, path: Path) -> float:
        """Milliseconds of a path into a layer; a proxy's sum with other paths included."""
        pieces = [path.name] if path.universal else [path.name, keys.path_sum(path.target)]
        return self.scale * self._total(pieces)

    def student(self, architecture: Architecture) -> float:
        """Milliseconds that a compacted student is predicted to take."""
        pieces = [keys.STEM, keys.HEAD, *(path.name for path in architecture.paths)]
        for layer in architecture.layers:
            pieces += [keys.path_sum(layer)] * (len(architecture.into(layer)) - 1)
        return self.call + self.scale * self._total(pieces)

    def _total(self, names: Iterable[str]) -> float:
        return sum(self.pieces[name] for name in names)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Latencies":
        """The inverse of `dataclasses.asdict`; further entries are left out."""
        return cls(**{field.name: record[field.name] for field in dataclasses.fields(cls)})
