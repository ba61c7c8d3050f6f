"""Search for the depth of a task's networks: how many blocks the task needs at all.

A network that ends early can be more accurate than the whole one, and every network made from it is
cheaper. A linear classifier on the frozen nodes does not tell where: it favours the last ones, as
the nodes before become separable only when something in the blocks is trained. A network with all
weights trained does not tell it, either: it needs fewer blocks than a student, whose kernels are
frozen. Therefore a student without proxies is trained for a few epochs at each depth that is looked
at. Not in the paper.
"""

import dataclasses
from collections.abc import Callable, Sequence

from tailor_tf.support.statistics import standard_error


@dataclasses.dataclass(frozen=True)
class DepthSearch:
    """Search among the depths of a network, from the whole network to shorter ones.

    Attributes:
        accuracy: trains the network of a depth for a few epochs; returns its validation accuracy,
            0..1.
        tolerance: a shorter network is preferred if it is worse by no more than this, 0..1.
        images: number of validation images. When a network is worse than the best one by more than
            a standard error, shorter ones are not tried any more.
    """

    accuracy: Callable[[int], float]
    tolerance: float
    images: int

    def choose(self, depths: Sequence[int]) -> int:
        """Chooses the smallest depth within the tolerance of the best one.

        Args:
            depths: the depths to choose from, at least one.
        """
        found: dict[int, float] = {}
        for depth in sorted(depths, reverse=True):
            found[depth] = self.accuracy(depth)
            best = max(found.values())
            margin = standard_error(best, images=self.images)
            if found[depth] < best - max(self.tolerance, margin):
                break
        return min(depth for depth, accuracy in found.items() if accuracy >= best - self.tolerance)
