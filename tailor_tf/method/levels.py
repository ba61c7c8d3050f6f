"""Levels of pruning of a trained student, and the order in which they are tried."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from tailor_tf.method import pruning, search
from tailor_tf.method.search import Accuracy, Margin, Selection, no_margin
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.cost import Cost, in_words
from tailor_tf.records.level import Level
from tailor_tf.support.errors import TailorError

LARGEST_TRIED = 3  # number of networks tried in a search for the most accurate one
MOST_TRIED = 5  # largest number of networks tried in a search for the leanest one
BLOCKS_TRIED = 4  # of these, the largest number tried with all their proxies


@dataclasses.dataclass(frozen=True, eq=False)
class Levels:
    """The levels of pruning of one student.

    Attributes:
        full: the student's paths.
        gates: gate of each path, 0..1.
        proxy_threshold: proxies with a smaller gate are removed at every level.
        cost: from an architecture of these paths to the cost of its network.
        order: the universal blocks in the order of their removal; by their gates by default.
    """

    full: Architecture
    gates: Mapping[Path, float]
    proxy_threshold: float
    cost: Callable[[Architecture], Cost]
    order: Sequence[Path] = ()

    def pruning(self, level: Level) -> pruning.Pruning:
        """The student's paths that remain at a level."""
        return pruning.prune(
            self.full,
            self.gates,
            num_blocks=level.blocks,
            num_proxies=level.proxies,
            proxy_threshold=self.proxy_threshold,
            order=self.order,
        )

    def nearest(self, level: Level, tuned: Iterable[Level]) -> Level | None:
        """The leanest of the levels `tuned` that has all paths of `level` and more; else `None`."""
        wanted = set(self.pruning(level).architecture.paths)
        paths = {other: set(self.pruning(other).architecture.paths) for other in tuned}
        larger = [other for other in paths if wanted < paths[other]]
        return min(larger, key=lambda other: len(paths[other]), default=None)

    def within(self, levels: Iterable[Level], budget: Mapping[str, float]) -> list[Level]:
        """For each level, the variant with the most proxies whose network is within a budget.

        Levels without such a variant are left out. Of levels with the same network, only the first
        is kept.

        Args:
            levels: levels without a number of proxies.
            budget: largest allowed counts of a network, by attribute of `Cost`.

        Raises:
            TailorError: no level has a variant within the budget.
        """
        found, least = {}, {}
        for level in levels:
            proxies = len(self.pruning(level).architecture.proxies)
            fewer = (
                dataclasses.replace(level, proxies=count) for count in range(proxies - 1, -1, -1)
            )
            for candidate in (level, *fewer):
                architecture = self.pruning(candidate).architecture
                cost = self.cost(architecture)
                counts = {count: cost[count] for count in budget}
                if all(counts[count] <= most for count, most in budget.items()):
                    found.setdefault(architecture, candidate)
                    break
                least = {k: min(counts[k], least.get(k, counts[k])) for k in budget}
        if not found:
            raise TailorError(
                f"No pruned network is within the budget, {in_words(budget)}; the least that "
                f"pruning leaves of this student is {in_words(least)}. Allow a larger budget."
            )
        return list(found.values())

    def with_fewer_proxies(self, level: Level) -> list[Level]:
        """Variants of a level with 3/4, 1/2 and 1/4 of its proxies, if their networks differ."""
        own = self.pruning(level).architecture
        found = {}
        for quarters in (3, 2, 1):
            fewer = dataclasses.replace(level, proxies=len(own.proxies) * quarters // 4)
            found.setdefault(self.pruning(fewer).architecture, fewer)
        return [fewer for architecture, fewer in found.items() if architecture != own]

    def most_accurate(
        self, levels: Sequence[Level], budget: Mapping[str, float], accuracy: Accuracy
    ) -> Selection:
        """Selects the most accurate of the first `LARGEST_TRIED` networks within a budget.

        Args:
            levels: levels from the largest network to the leanest.
            budget: largest allowed counts of a network, as for `within`.
            accuracy: trains the network of a level; returns its validation accuracy, 0..1.

        Raises:
            TailorError: no level has a network within the budget.
        """
        return search.most_accurate(self.within(levels, budget)[:LARGEST_TRIED], accuracy)

    def leanest(
        self,
        levels: Sequence[Level],
        budget: Mapping[str, float],
        accuracy: Accuracy,
        *,
        goal: float,
        margin: Margin = no_margin,
    ) -> Selection:
        """Selects the leanest network that is accurate enough.

        Levels with fewer blocks are tried first, then levels with fewer proxies. If no level tried
        reaches the goal, larger networks are tried instead of fewer proxies.

        Args:
            levels: levels from the largest network to the leanest.
            budget: largest allowed counts of a network, as for `within`.
            accuracy: trains the network of a level; returns its validation accuracy, 0..1.
            goal: validation accuracy to reach, 0..1.
            margin: tolerance for chance, as for `search.bisect`.

        Raises:
            TailorError: no level has a network within the budget.
        """
        numbers = self.within(levels, budget)
        blocks = search.bisect(numbers, accuracy, goal=goal, margin=margin, most=BLOCKS_TRIED)
        if blocks.within_tolerance:
            others = self.with_fewer_proxies(blocks.chosen)
        else:
            others = numbers[: min(map(numbers.index, blocks.tried))]
        if not others:
            return blocks
        left = MOST_TRIED - len(blocks.tried)
        further = search.bisect(others, accuracy, goal=goal, margin=margin, most=left)
        return search.choose({**blocks.accuracies, **further.accuracies}, goal)
