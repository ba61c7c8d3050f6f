"""Which of several pruned networks to take (NetTailor, section 3.4), and which to try."""

import dataclasses
from collections.abc import Callable, Sequence

from tailor_tf.records import Level

Accuracy = Callable[[Level], float]  # tunes a level; its validation accuracy, 0..1


@dataclasses.dataclass(frozen=True)
class Selection:
    """What was tried and taken.

    Attributes:
        tried: the levels, in the order tried.
        chosen: the level taken.
        within_tolerance: whether its accuracy reaches the goal.
    """

    tried: tuple[Level, ...]
    chosen: Level
    within_tolerance: bool


def first_within(levels: Sequence[Level], accuracy: Accuracy, goal: float) -> Selection:
    """Takes the first level that is accurate enough; the most accurate one if there is none.

    Args:
        levels: from the leanest network on.
        accuracy: called in order, until a level reaches the goal.
        goal: validation accuracy to reach, 0..1.
    """
    reached: dict[Level, float] = {}
    for level in levels:
        reached[level] = accuracy(level)
        if reached[level] >= goal:
            return Selection(tuple(reached), level, True)
    return _most_accurate(reached, goal)


def search(
    levels: Sequence[Level], accuracy: Accuracy, goal: float, most: int | None = None
) -> Selection:
    """Takes the leanest level that is accurate enough, as bisection finds it.

    Between a level that reaches the goal and one that does not, the one in the middle is tried;
    that finds the leanest if leaner networks are never more accurate. Where a larger network turns
    out less accurate than a leaner one that missed the goal, size is not what is missing, and the
    search goes on among leaner ones, once. If no level tried reaches the goal, the most
    accurate one is taken.

    Args:
        levels: from the largest network to the leanest; one at least.
        accuracy: called for about `log2(len(levels))` of them.
        goal: validation accuracy to reach, 0..1.
        most: how many levels to try at most; `None` for as many as it takes.
    """
    reached: dict[Level, float] = {}
    first, last = 0, len(levels) - 1
    leaner = None  # those beyond the level that came nearest to the goal, until they are turned to
    nearest = -1.0
    turned = False
    while first <= last and len(reached) != most:
        middle = (first + last + 1) // 2
        found = reached[levels[middle]] = accuracy(levels[middle])
        if found >= goal:
            first, turned = middle + 1, True
        elif turned or found >= nearest:
            nearest, leaner, last = found, (middle + 1, last), middle - 1
        else:
            (first, last), turned = leaner, True
    within = [level for level in levels if reached.get(level, -1.0) >= goal]
    if not within:
        return _most_accurate(reached, goal)
    return Selection(tuple(reached), within[-1], True)


def most_accurate(levels: Sequence[Level], accuracy: Accuracy) -> Selection:
    """Tries all levels and takes the most accurate one, of several the leanest."""
    return _most_accurate({level: accuracy(level) for level in levels}, 0.0)


def _most_accurate(reached: dict[Level, float], goal: float) -> Selection:
    chosen = max(reached, key=lambda level: (reached[level], level.leanness))
    return Selection(tuple(reached), chosen, reached[chosen] >= goal)


def hopeless(
    curve: Sequence[float], others: Sequence[Sequence[float]], goal: float, margin: float
) -> bool:
    """Whether a level will not reach the goal, going by the levels that were trained to their end.

    Args:
        curve: its validation accuracy after each epoch so far.
        others: those of the levels that were trained to their end.
        goal: the accuracy to reach.
        margin: what is allowed for chance.

    Returns:
        Whether, after a third of the epochs, it is further below the goal than any of the others
        has gained from this epoch on.
    """
    done = len(curve)
    gains = [max(other[done:]) - max(other[:done]) for other in others if len(other) > done]
    if not gains or 3 * done < max(map(len, others)):
        return False
    return max(curve) + max(*gains, 0.0) + margin < goal
