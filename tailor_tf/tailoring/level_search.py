"""Search among the levels of a student: levels to fine-tune, their starts, when to stop, choice."""

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tailor_tf.method import search
from tailor_tf.method.expectation import expected_difference
from tailor_tf.method.levels import Levels
from tailor_tf.method.search import Selection
from tailor_tf.network.architecture import Architecture
from tailor_tf.records import phase as names
from tailor_tf.records.level import Level
from tailor_tf.records.records import PhaseRecord
from tailor_tf.records.store import Records
from tailor_tf.support.statistics import errors_allowed, paired_error, standard_error
from tailor_tf.tailoring.phases import LevelPlan, Phases
from tailor_tf.tailoring.run_costs import RunCosts
from tailor_tf.tailoring.settings import Settings
from tailor_tf.training.loop import NonFiniteLossError

APART = 0.75  # of the cost of a network that is trained: the most that the next one may cost
MOST_TUNED = 3  # largest number of levels that are fine-tuned after all were trained together


class LevelSearch:
    """Search among the levels of a trained student; only validation images decide.

    Args:
        settings: settings of the run; tolerance, budget and numbers of blocks are used.
        costs: costs of the run's networks.
        records: records of teacher and student, and of the levels after their fine-tuning.
        phases: fine-tunes the levels.
        validation_images: number of validation images.
    """

    def __init__(
        self,
        settings: Settings,
        costs: RunCosts,
        records: Records,
        phases: Phases,
        validation_images: int,
    ):
        self._settings = settings
        self._costs = costs
        self._records = records
        self._phases = phases
        self._validation_images = validation_images
        self._plans: dict[Level, LevelPlan] = {}
        self._tuned: dict[Level, float] = {}  # validation accuracies, in the order tuned
        self._failed: dict[Level, NonFiniteLossError] = {}

    def select(self) -> Selection:
        """Fine-tunes levels until one is chosen; a level whose loss does not stay finite is not.

        Raises:
            TailorError: no pruned network is within the budget.
            NonFiniteLossError: the loss of all levels did not stay finite.
        """
        selected = self._search()
        if selected.chosen in self._failed:
            raise NonFiniteLossError(
                f"{self._failed[selected.chosen].reason}, and no level tried has been trained to "
                "its end",
                "run the phase finetune again, with a lower learning rate.",
            )
        return selected

    def _search(self) -> Selection:
        candidates = self._settings.levels(self._costs.full.depth)
        goal, budget = self._goal(), self._settings.budget
        if self._settings.prune_blocks is not None:
            # Levels that were asked for by number are trained to the end.
            return search.first_within(candidates, self._tune, goal=goal)
        levels, largest_first = self._levels(), candidates[::-1]
        tune = functools.partial(self._tune, goal=goal)
        if self._settings.trains_together:
            within = levels.within(largest_first, budget)
            guesses = {level: self._judge(level) for level in within}
            if goal is None:
                return search.most_accurate([max(within, key=guesses.__getitem__)], tune)
            margin = self._judged_margin
            return search.guided(within, guesses, tune, goal=goal, margin=margin, most=MOST_TUNED)
        if goal is None:
            return levels.most_accurate(largest_first, budget, tune)
        return levels.leanest(largest_first, budget, tune, goal=goal, margin=self._margin)

    def train_together(self) -> None:
        """Trains the networks of all levels together, if the settings say so."""
        if self._settings.trains_together:
            self._phases.sandwich(self._together())

    def prune(self) -> None:
        """Records how accurate each level is that may be fine-tuned."""
        for level in self._settings.levels(self._costs.full.depth):
            measure = self._phases.judge if self._settings.trains_together else self._phases.pruned
            measure(self.plan(level))

    def _together(self) -> tuple[Architecture, ...]:
        """The paths of the networks that are trained together, from the largest to the leanest.

        They are of levels whose costs are well apart, whichever levels are tried: each of them is
        compiled by itself, and levels between two of them learn from both.
        """
        levels, found = self._levels(), []
        for number in range(self._costs.full.depth + 1):
            paths = levels.pruning(Level(number)).architecture
            cost = self._costs.student(paths).multiply_adds
            if not found or cost <= APART * self._costs.student(found[-1]).multiply_adds:
                found.append(paths)
        return tuple(found)

    def _judge(self, level: Level) -> float:
        """Validation accuracy of a level that was trained together with the others, 0..1."""
        self._phases.judge(self.plan(level))
        return self._judged(level).accuracy["validation"]

    def _judged(self, level: Level) -> PhaseRecord:
        return self._records.read_phase(names.pruned(level))

    def _judged_margin(self, level: Level) -> float:
        """Standard error of a judged level's accuracy against its teacher's, 0..1."""
        return self._judged(level).difference_error(self._teacher, images=self._validation_images)

    def expected_difference(self, selected: Selection) -> float | None:
        """Expected accuracy of a selected network minus its teacher's, on other images, -1..1.

        `None` if records of earlier versions do not tell which images are classified wrongly.
        """
        tried = [level for level in selected.tried if level not in self._failed]
        records = {level: self._record(level) for level in tried}
        if not all("validation" in r.mistakes for r in (self._teacher, *records.values())):
            return None
        right = {level: self._is_right(record) for level, record in records.items()}
        return expected_difference(self._is_right(self._teacher), right, self._choice)

    def _is_right(self, record: PhaseRecord) -> np.ndarray:
        """Whether a network is right, bool, for each validation image."""
        is_right = np.ones(self._validation_images, bool)
        is_right[list(record.mistakes["validation"])] = False
        return is_right

    def _choice(self, right: Mapping[Level, np.ndarray], teacher: np.ndarray) -> Level:
        """The level that is chosen if these are right or wrong, bool `[images]` each."""
        images, shown = len(teacher), {}
        for level, ours in right.items():
            only, only_teacher = int((teacher & ~ours).sum()), int((ours & ~teacher).sum())
            error = paired_error(only, only_teacher, images=images)
            shown[level] = ours.mean() - self._strictness * error
        tolerance = self._settings.tolerance
        goal = max(shown.values()) if tolerance is None else teacher.mean() - tolerance / 100
        return search.choose(shown, goal).chosen

    def plan(self, level: Level) -> LevelPlan:
        """The plan of a level: it is pruned from the leanest tuned level that has all its paths.

        If the levels are trained together, it is pruned from the student that has them all. A plan
        is made once and kept, so that it does not change when further levels are tuned.
        """
        if level not in self._plans:
            pruning = self._levels().pruning(level)
            if self._settings.trains_together:
                plan = LevelPlan(level, pruning, together=self._together())
            else:
                start = self._levels().nearest(level, self._tuned)
                plan = LevelPlan(level, pruning, self._plans[start] if start else None)
            self._plans[level] = plan
        return self._plans[level]

    def _goal(self) -> float | None:
        """Validation accuracy to reach, 0..1; `None` if there is no tolerance."""
        if self._settings.tolerance is None:
            return None
        return self._teacher.accuracy["validation"] - self._settings.tolerance / 100

    @property
    def _teacher(self) -> PhaseRecord:
        return self._records.read_phase(names.TEACHER)

    def _levels(self) -> Levels:
        """The levels of the trained student."""
        student = self._records.read_phase(names.STUDENT)
        threshold = self._settings.proxy_threshold
        costs = self._costs
        return Levels(costs.full, student.gates, threshold, costs.student, student.order)

    def _tune(self, level: Level, goal: float | None = None) -> float:
        """Fine-tunes a level and returns its validation accuracy, 0..1.

        Args:
            level: the level.
            goal: validation accuracy to reach, 0..1; training stops when it is out of reach. `None`
                trains to the end.

        Returns:
            The accuracy that the images show: less the error that the settings allow for, and
            below any goal if the loss did not stay finite.
        """
        try:
            self._phases.finetuned(self.plan(level), functools.partial(self._is_out_of_reach, goal))
        except NonFiniteLossError as error:
            print(f"Level {level.name} has failed: {error.reason}.", flush=True)
            self._failed[level] = error
            return -math.inf
        self._tuned[level] = self._record(level).accuracy["validation"]
        return self._tuned[level] - self._strictness * self._margin(level)

    @property
    def _strictness(self) -> float:
        """Standard errors by which an accuracy has to be above the goal."""
        settings = self._settings
        strict = settings.undecided == "accurate" and settings.tolerance is not None
        return errors_allowed(settings.confidence) if strict else 0.0

    def _is_out_of_reach(self, goal: float | None, curve: Sequence[float]) -> bool:
        if goal is None or not curve:
            return False
        curves = [self._record(level).curve for level in self._tuned]
        whole = [other for other in curves if len(other) == self._settings.finetune.epochs]
        error = standard_error(min(max(goal, 0.0), 1.0), images=self._validation_images)
        return search.is_out_of_reach(curve, whole, goal=goal, margin=error)

    def _record(self, level: Level) -> PhaseRecord:
        return self._records.read_phase(names.finetuned(level))

    def _margin(self, level: Level) -> float:
        """Standard error of a tuned level's accuracy against its teacher's, 0..1."""
        if level in self._failed:
            return 0.0
        return self._record(level).difference_error(self._teacher, images=self._validation_images)
