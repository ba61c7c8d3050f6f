"""To what a trained student can be pruned, and which of that to try."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from tailor_tf.method import pruning, selection
from tailor_tf.method.selection import Accuracy, Selection
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.costs import Cost
from tailor_tf.records.records import Level
from tailor_tf.support.errors import TailorError

LARGEST_TRIED = 3  # networks, where a budget asks for the most accurate one
MOST_TRIED = 5  # networks, where the leanest one is searched for
BLOCKS_TRIED = 4  # of them, by their number of blocks alone


@dataclasses.dataclass(frozen=True, eq=False)
class Levels:
    """The levels of one student.

    Attributes:
        full: its paths.
        gates: their gates.
        proxy_threshold: proxies with a smaller gate are removed at every level.
        cost: what a network with some of the paths costs.
    """

    full: Architecture
    gates: Mapping[Path, float]
    proxy_threshold: float
    cost: Callable[[Architecture], Cost]

    def pruning(self, level: Level) -> pruning.Pruning:
        """What is left of the student's paths at a level."""
        return pruning.prune(
            self.full,
            self.gates,
            num_blocks=level.blocks,
            num_proxies=level.proxies,
            proxy_threshold=self.proxy_threshold,
        )

    def nearest(self, level: Level, tuned: Iterable[Level]) -> Level | None:
        """The leanest of some levels that has all paths of a level, and more."""
        wanted = set(self.pruning(level).architecture.paths)
        paths = {other: set(self.pruning(other).architecture.paths) for other in tuned}
        larger = [other for other in paths if wanted < paths[other]]
        return min(larger, key=lambda other: len(paths[other]), default=None)

    def within(self, levels: Iterable[Level], budget: Mapping[str, float]) -> list[Level]:
        """Of each level the variant with the most proxies that is within a budget.

        Levels that leave the same network count once.

        Args:
            levels: without a number of proxies.
            budget: the most that a network may have, by attribute of `Cost`.

        Raises:
            TailorError: no level has any.
        """
        found, least = {}, {}
        for level in levels:
            proxies = len(self.pruning(level).architecture.proxies)
            fewer = (level._replace(proxies=count) for count in range(proxies - 1, -1, -1))
            for candidate in (level, *fewer):
                architecture = self.pruning(candidate).architecture
                cost = self.cost(architecture)
                counts = {count: getattr(cost, count) for count in budget}
                if all(counts[count] <= most for count, most in budget.items()):
                    found.setdefault(architecture, candidate)
                    break
                least = {k: min(counts[k], least.get(k, counts[k])) for k in budget}
        if not found:
            raise TailorError(
                f"No pruned network is within the budget, {amounts(budget)}; the least that the "
                f"gates of this student leave is {amounts(least)}."
            )
        return list(found.values())

    def with_fewer_proxies(self, level: Level) -> list[Level]:
        """A level with three quarters, half and a quarter of its proxies, as far as they differ."""
        own = self.pruning(level).architecture
        found = {}
        for quarters in (3, 2, 1):
            fewer = level._replace(proxies=len(own.proxies) * quarters // 4)
            found.setdefault(self.pruning(fewer).architecture, fewer)
        return [fewer for architecture, fewer in found.items() if architecture != own]

    def most_accurate(
        self, levels: Sequence[Level], budget: Mapping[str, float], accuracy: Accuracy
    ) -> Selection:
        """Takes the most accurate network within a budget, of the largest few."""
        return selection.most_accurate(self.within(levels, budget)[:LARGEST_TRIED], accuracy)

    def leanest(
        self,
        levels: Sequence[Level],
        budget: Mapping[str, float],
        accuracy: Accuracy,
        goal: float,
        margin: float = 0.0,
    ) -> Selection:
        """Takes the leanest network that is accurate enough: fewer blocks first, then proxies.

        Where no number of blocks that was tried reaches the goal, larger networks are tried
        instead of fewer proxies.

        Args:
            levels: from the largest network to the leanest.
            budget: what each may have at most, as in `within`.
            accuracy: tunes a level; its validation accuracy.
            goal: the accuracy to reach.
            margin: of the accuracies, as in `selection.search`.
        """
        numbers = self.within(levels, budget)
        blocks = selection.search(numbers, accuracy, goal, margin, BLOCKS_TRIED)
        if blocks.within_tolerance:
            others = self.with_fewer_proxies(blocks.chosen)
        else:
            others = numbers[: min(map(numbers.index, blocks.tried))]
        if not others:
            return blocks
        left = MOST_TRIED - len(blocks.tried)
        further = selection.search(others, accuracy, goal, margin, left)
        return selection.choose({**blocks.accuracies, **further.accuracies}, goal)


def amounts(counts: Mapping[str, float]) -> str:
    """Counts of `Cost` in words, such as "20,000,000 multiply-adds"."""
    words = []
    for name, value in counts.items():
        unit = "ms of latency" if name == "latency_ms" else name.replace("_", "-")
        words.append(f"{value:,.3g} {unit}" if name == "latency_ms" else f"{value:,.0f} {unit}")
    return ", ".join(words)
