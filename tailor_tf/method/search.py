"""Search for the best of several pruned networks (NetTailor, section 3.4)."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from tailor_tf.records.level import Level

Accuracy = Callable[[Level], float]  # trains a level's network; its validation accuracy, 0..1
Margin = Callable[[Level], float]  # tolerance for chance in that accuracy, 0..1


def no_margin(level: Level) -> float:
    """Takes every accuracy as it is."""
    return 0.0


@dataclasses.dataclass(frozen=True)
class Selection:
    """Result of a search: the levels tried and the level chosen.

    Attributes:
        accuracies: validation accuracies, 0..1, of the levels tried, in the order tried.
        chosen: the level chosen.
        within_tolerance: whether its accuracy reaches the goal.
    """

    accuracies: Mapping[Level, float]
    chosen: Level
    within_tolerance: bool

    @property
    def tried(self) -> tuple[Level, ...]:
        """The levels tried, in the order tried."""
        return tuple(self.accuracies)


def choose(accuracies: Mapping[Level, float], goal: float) -> Selection:
    """Selects the leanest level that reaches a goal; the most accurate level if none does.

    Args:
        accuracies: validation accuracies by level, 0..1.
        goal: validation accuracy to reach, 0..1.
    """
    within = [level for level, accuracy in accuracies.items() if accuracy >= goal]
    if within:
        chosen = max(within, key=lambda level: level.leanness)
    else:
        chosen = max(accuracies, key=lambda level: (accuracies[level], level.leanness))
    return Selection(accuracies, chosen, bool(within))


def first_within(levels: Sequence[Level], accuracy: Accuracy, *, goal: float) -> Selection:
    """Selects the first level that is accurate enough; the most accurate level if none is.

    Args:
        levels: levels from the leanest network to the largest.
        accuracy: called in this order, until a level reaches the goal.
        goal: validation accuracy to reach, 0..1.
    """
    reached: dict[Level, float] = {}
    for level in levels:
        reached[level] = accuracy(level)
        if reached[level] >= goal:
            break
    return choose(reached, goal)


def bisect(
    levels: Sequence[Level],
    accuracy: Accuracy,
    *,
    goal: float,
    margin: Margin = no_margin,
    most: int | None = None,
) -> Selection:
    """Selects the leanest level that is accurate enough, by bisection.

    The search begins at a third of the levels, not in the middle, because only a leaner level can
    start from the weights of a larger one. A level may miss the goal by chance. If it misses the
    goal by no more than the margin, leaner levels are tried, as if it had reached the goal. If no
    level tried reaches the goal, the most accurate one is selected.

    Args:
        levels: levels from the largest network to the leanest, at least one.
        accuracy: called for about `log2(len(levels))` levels.
        goal: validation accuracy to reach, 0..1.
        margin: tolerance for chance, such as a standard error; called after `accuracy`.
        most: largest number of levels to try; `None` for no limit.
    """
    reached: dict[Level, float] = {}
    largest, leanest = -1, len(levels)  # the searched level lies between these positions
    position = len(levels) // 3
    while largest < position < leanest and len(reached) != most:
        level = levels[position]
        reached[level] = accuracy(level)
        if reached[level] >= goal - margin(level):
            largest = position
        else:
            leanest = position
        position = (largest + leanest) // 2
    return choose(reached, goal)


def guided(
    levels: Sequence[Level],
    guesses: Mapping[Level, float],
    accuracy: Accuracy,
    *,
    goal: float,
    margin: Margin = no_margin,
    most: int,
) -> Selection:
    """Selects the leanest level that is accurate enough, by guesses of all accuracies.

    The level tried next is the leanest one that is expected to reach the goal, or to be as good as
    the best one if none is expected to reach it, within the margin. After a level that reaches the
    goal only leaner ones are tried, if one of them is expected to reach it, too; after another
    level only larger ones. Expected are the guesses plus the most that a level tried has gained
    over its guess, so that guesses only have to be right in comparison with each other.

    Args:
        levels: levels from the largest network to the leanest, at least one.
        guesses: guessed validation accuracy of each level, 0..1.
        accuracy: trains a level's network; its validation accuracy, 0..1.
        goal: validation accuracy to reach, 0..1.
        margin: tolerance for chance in a guess, such as a standard error.
        most: largest number of levels to try, at least one.
    """
    reached: dict[Level, float] = {}
    left = list(levels)
    while left and len(reached) < most:
        gain = max((reached[level] - guesses[level] for level in reached), default=0.0)
        best = max(guesses[level] for level in left) + gain
        if best < goal <= max(reached.values(), default=-math.inf):
            break
        least = min(goal, best)
        level = [level for level in left if guesses[level] + gain >= least - margin(level)][-1]
        reached[level] = accuracy(level)
        position = left.index(level)
        left = left[position + 1 :] if reached[level] >= goal else left[:position]
    return choose(reached, goal)


def most_accurate(levels: Sequence[Level], accuracy: Accuracy) -> Selection:
    """Tries all levels and selects the most accurate one; of equally accurate ones the leanest."""
    reached = {level: accuracy(level) for level in levels}
    return choose(reached, max(reached.values()))


def is_out_of_reach(
    curve: Sequence[float], others: Sequence[Sequence[float]], *, goal: float, margin: float
) -> bool:
    """Whether a level is not expected to reach the goal, judged by the levels trained to the end.

    Args:
        curve: the level's validation accuracy after each epoch so far, 0..1.
        others: the same for the levels that were trained to the end.
        goal: validation accuracy to reach, 0..1.
        margin: tolerance for chance, 0..1.

    Returns:
        True if at least half of the epochs are over and the accuracy plus `margin` is further
        below the goal than any of the other levels gained from this epoch on.
    """
    done = len(curve)
    gains = [max(other[done:]) - max(other[:done]) for other in others if len(other) > done]
    if not gains or 2 * done < max(map(len, others)):
        return False
    return max(curve) + max(*gains, 0.0) + margin < goal
