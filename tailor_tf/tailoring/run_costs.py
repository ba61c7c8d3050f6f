"""Costs of all networks of one run."""

import dataclasses
from collections.abc import Mapping

from tailor_tf.network import costs
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.cost import Cost, in_words
from tailor_tf.network.graph import BlockGraph
from tailor_tf.network.latencies import Latencies
from tailor_tf.support.errors import TailorError
from tailor_tf.tailoring.settings import ALL, AUTO, Settings


@dataclasses.dataclass(frozen=True, eq=False)
class RunCosts:
    """Costs of the networks over one universal network with one task's classifier.

    Attributes:
        graph: the universal network's description.
        num_classes: number of classes of the task.
        full: the paths of the full student.
        settings: settings of the run.
        latencies: latencies of the networks' pieces; `None` if they were not measured.
    """

    graph: BlockGraph
    num_classes: int
    full: Architecture
    settings: Settings
    latencies: Latencies | None = None

    def at(self, depth: int) -> "RunCosts":
        """The costs of networks that end behind block `depth`."""
        return dataclasses.replace(self, full=self.settings.architecture(self.graph, depth))

    def depths(self) -> tuple[int, ...]:
        """The depths that the settings allow; of these, the ones with a network within the budget.

        Raises:
            TailorError: a depth that the network does not have, or a budget that is too small for
                any network; the message names the smallest possible one.
        """
        wanted = self.settings.depth
        depths = {AUTO: self.graph.stage_ends, ALL: (self.graph.num_blocks,)}.get(wanted, (wanted,))
        least = {depth: self.at(depth)._least() for depth in depths}
        found = [depth for depth in depths if not self._missing(least[depth])]
        if not found:
            cheapest = min(least.values(), key=lambda counts: sum(self._missing(counts).values()))
            beyond = self._missing(cheapest)
            budget = in_words({count: self.settings.budget[count] for count in beyond})
            already = in_words({count: cheapest[count] for count in beyond})
            raise TailorError(
                f"The budget is {budget}; stem, classifier and the cheapest paths between them "
                f"have {already} already. Allow a larger budget."
            )
        return tuple(found)

    def network(self, depth: int | None = None, head_channels: int = 0) -> Cost:
        """Cost of the universal network with the task's classifier, that is, of the teacher.

        Args:
            depth: the number of blocks to keep, the classifier behind them; all by default.
            head_channels: channels of the task's own head; 0 for none.
        """
        return costs.network_cost(
            self.graph,
            self.num_classes,
            self.latencies,
            depth=depth,
            head_channels=head_channels,
        )

    def largest_depth(self) -> int:
        """The largest number of blocks that a truncated network can keep within the budget.

        Raises:
            TailorError: there is no budget, or it is too small for one block.
        """
        budget = self.settings.budget
        if not budget:
            raise TailorError(
                "A truncated network is asked for, and neither its depth nor a budget is given; "
                "expected the number of blocks to keep, --depth, or a limit such as --max_madds."
            )
        for depth in range(self.graph.num_blocks, 0, -1):
            cost = self.network(depth)
            counts = {count: cost[count] for count in budget}
            if not self._missing(counts):
                return depth
        raise TailorError(
            f"The budget is {in_words(budget)}; stem, first block and classifier have "
            f"{in_words(counts)} already. Allow a larger budget."
        )

    def student(self, architecture: Architecture) -> Cost:
        """Cost of a student with some of the paths."""
        return costs.student_cost(self.graph, architecture, self.num_classes, self.latencies)

    def path_complexities(self) -> dict[Path, float]:
        """Complexity of each path of the full student, in the unit of `settings.complexity`."""
        count = self.settings.complexity
        return costs.path_complexities(self.graph, self.full, count, self.latencies)

    def path_shares(self, architecture: Architecture) -> dict[Path, float]:
        """Complexity of each path, divided by the universal network's (`C` of eq. 5)."""
        count = self.settings.complexity
        return costs.path_shares(self.graph, architecture, count, self.latencies)

    def complexity_target(self) -> float | None:
        """The E[C] of a student that uses the whole budget; `None` for a fixed complexity weight.

        It is the budget minus the complexity of stem, head and classifier, divided by the
        universal network's complexity.
        """
        if self.settings.complexity_weight is not None:
            return None
        count = self.settings.complexity
        none = self.student(self.full.with_paths(()))
        whole = costs.universal_complexity(self.graph, count, self.latencies, self.full.own)
        return (self.settings.budget[count] - none[count]) / whole

    def _least(self) -> dict[str, float]:
        """The smallest possible count of a network, for each count that has a budget.

        Latency is left out if it was not measured.
        """
        counts = (n for n in self.settings.budget if n != "latency_ms" or self.latencies)
        return {
            count: costs.smallest(self.graph, self.full, self.num_classes, count, self.latencies)
            for count in counts
        }

    def _missing(self, counts: Mapping[str, float]) -> dict[str, float]:
        """How far counts are beyond the budget, as a part of the budget; only those that are."""
        budget = self.settings.budget
        return {
            name: count / max(budget[name], 1e-9) - 1
            for name, count in counts.items()
            if count > budget[name]
        }
