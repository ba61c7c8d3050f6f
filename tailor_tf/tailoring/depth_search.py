"""Search for the depth of a task's networks: how many blocks the task needs at all.

A network that ends early can be more accurate than the whole one, and every network made from it is
cheaper. A linear classifier on the frozen nodes does not tell where: it favours the last ones, as
the nodes before become separable only when something in the blocks is trained. A network with all
weights trained does not tell it, either: it needs fewer blocks than a student, whose kernels are
frozen. Therefore a student without proxies is trained for a few epochs at each depth that is looked
at. Not in the paper.
"""

from collections.abc import Callable, Sequence

from tailor_tf.records import phase as names
from tailor_tf.records.phase import Phase
from tailor_tf.records.store import Records
from tailor_tf.support.statistics import standard_error
from tailor_tf.tailoring.phases import Phases
from tailor_tf.tailoring.run_costs import RunCosts
from tailor_tf.tailoring.settings import Settings


def shortest_within(
    depths: Sequence[int], accuracy: Callable[[int], float], *, tolerance: float, images: int
) -> int:
    """The smallest depth within the tolerance of the best one, tried from the largest one down.

    Args:
        depths: the depths to choose from, at least one.
        accuracy: from a depth to the validation accuracy of its network, 0..1.
        tolerance: a shorter network is preferred if it is worse by no more than this, 0..1.
        images: number of validation images. When a network is worse than the best one by more than
            a standard error, shorter ones are not tried any more.
    """
    found: dict[int, float] = {}
    for depth in sorted(depths, reverse=True):
        found[depth] = accuracy(depth)
        best = max(found.values())
        margin = standard_error(best, images=images)
        if found[depth] < best - max(tolerance, margin):
            break
    return min(depth for depth, accuracy in found.items() if accuracy >= best - tolerance)


class DepthSearch:
    """Search for the depth of a run's networks; only validation images decide.

    Args:
        settings: settings of the run; depth and tolerance are used.
        costs: costs of the run's networks.
        records: records of the short trainings.
        validation_images: number of validation images.
    """

    def __init__(
        self, settings: Settings, costs: RunCosts, records: Records, validation_images: int
    ):
        self.depths = costs.depths()
        self._tolerance = (settings.tolerance or 0.0) / 100
        self._records = records
        self._validation_images = validation_images

    @property
    def probes(self) -> list[Phase]:
        """The short trainings, of which some find the depth; none if there is no choice."""
        return [names.probe(depth) for depth in self.depths] if self.depths[1:] else []

    def select(self, phases: Phases) -> int:
        """The depth: trains networks of some depths for a few epochs if there is a choice."""

        def accuracy(depth: int) -> float:
            phases.probe(depth)
            return self._recorded(depth)

        return self._choose(accuracy)

    def known(self) -> int | None:
        """The depth that the settings or the records of finished trainings say; else `None`."""
        try:
            return self._choose(self._recorded)
        except LookupError:
            return None

    def _choose(self, accuracy: Callable[[int], float]) -> int:
        if len(self.depths) == 1:
            return self.depths[0]
        return shortest_within(
            self.depths, accuracy, tolerance=self._tolerance, images=self._validation_images
        )

    def _recorded(self, depth: int) -> float:
        """Validation accuracy of the short training of a depth; `LookupError` if it has none."""
        record = self._records.read_phase(names.probe(depth))
        if record is None:
            raise LookupError(depth)
        return record.accuracy["validation"]
