"""Pruning: the choice of paths to remove (NetTailor, section 3.4)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.support.errors import TailorError

PROXY_THRESHOLD = 0.05


@dataclasses.dataclass(frozen=True)
class Pruning:
    """Result of pruning.

    Attributes:
        architecture: the remaining paths; they connect the stem to the classifier.
        restored: paths that stay in spite of small gates, because without them nothing would
            connect the stem to the classifier.
    """

    architecture: Architecture
    restored: tuple[Path, ...] = ()


def prune(
    architecture: Architecture,
    gates: Mapping[Path, float],
    *,
    num_blocks: int,
    num_proxies: int | None = None,
    proxy_threshold: float = PROXY_THRESHOLD,
    order: Sequence[Path] = (),
) -> Pruning:
    """Removes the least important universal blocks and the proxies with little attention.

    Args:
        architecture: the student's paths.
        gates: gate of each path, 0..1.
        num_blocks: number of universal blocks to remove.
        num_proxies: largest number of proxies to keep. They are chosen last, by the size of their
            gates, among the proxies that the other rules keep. `None` for all of these.
        proxy_threshold: proxies with a smaller gate are removed.
        order: all universal blocks, those to remove first in front; by default in the order of
            their gates, the smallest first, as in the paper.

    Returns:
        The remaining paths, after the exclusion rules of `close`. If they do not connect the stem
        to the classifier any more, the strongest chain of paths is kept, too. If possible, that
        chain does not contain the removed blocks, so that `num_blocks` blocks are removed.

    Raises:
        TailorError: `num_blocks` is larger than the number of blocks, or the threshold is outside
            0..1.
    """
    universal = (path for path in architecture.paths if path.universal)
    blocks = list(order) or sorted(universal, key=lambda path: gates[path])
    if not 0 <= num_blocks <= len(blocks):
        raise TailorError(
            f"Cannot remove {num_blocks} universal blocks; expected 0 to {len(blocks)}."
        )
    if not 0 <= proxy_threshold <= 1:
        raise TailorError(f"The proxy threshold is {proxy_threshold}; expected 0 to 1.")
    weak = [path for path in architecture.proxies if gates[path] < proxy_threshold]
    left = architecture.without([*blocks[:num_blocks], *weak])
    closed = close(left)
    if num_proxies is not None:
        ranked = sorted(closed.proxies, key=lambda path: gates[path], reverse=True)
        left = closed.without(ranked[num_proxies:])
        closed = close(left)
    if closed.paths:
        return Pruning(closed)
    without_blocks = architecture.without(blocks[:num_blocks])
    connected = close(without_blocks).paths
    chain = strongest_chain(without_blocks if connected else architecture, gates)
    restored = tuple(path for path in chain if path not in left.paths)
    return Pruning(close(left.with_paths(left.paths + restored)), restored)


def close(architecture: Architecture) -> Architecture:
    """Applies the exclusion rules until nothing changes.

    A path is removed if no path leads into its source (the stem needs none), or if no path reads
    its target (the classifier reads the last layer). The paths that remain lie on a chain from the
    stem to the classifier; if there is no such chain, no path remains.
    """
    paths = set(architecture.paths)
    while True:
        fed = {0} | {path.target for path in paths}
        read = {architecture.depth} | {path.source for path in paths}
        alive = {path for path in paths if path.source in fed and path.target in read}
        if alive == paths:
            return architecture.with_paths(alive)
        paths = alive


def strongest_chain(architecture: Architecture, gates: Mapping[Path, float]) -> Sequence[Path]:
    """The chain of paths from the stem to the classifier with the largest product of gates.

    Raises:
        TailorError: the architecture has no chain from the stem to the classifier.
    """
    best: dict[int, tuple[float, tuple[Path, ...]]] = {0: (0.0, ())}
    for path in architecture.paths:  # layer by layer, so sources come before their targets
        if path.source in best:
            score, chain = best[path.source]
            score += math.log(max(gates[path], 1e-30))
            if path.target not in best or score > best[path.target][0]:
                best[path.target] = (score, (*chain, path))
    if architecture.depth not in best:
        raise TailorError("The architecture does not connect the stem to the classifier.")
    return best[architecture.depth][1]
