"""Which of several pruned networks to take (NetTailor, section 3.4), and which to try."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tailor_tf.records.records import Level

Accuracy = Callable[[Level], float]  # tunes a level; its validation accuracy, 0..1


@dataclasses.dataclass(frozen=True)
class Selection:
    """What was tried and taken.

    Attributes:
        accuracies: of the levels tried, in the order tried.
        chosen: the level taken.
        within_tolerance: whether its accuracy reaches the goal.
    """

    accuracies: Mapping[Level, float]
    chosen: Level
    within_tolerance: bool

    @property
    def tried(self) -> tuple[Level, ...]:
        """The levels tried, in their order."""
        return tuple(self.accuracies)


def choose(accuracies: Mapping[Level, float], goal: float) -> Selection:
    """Takes the leanest level that reaches a goal; the most accurate one if none does."""
    within = [level for level, accuracy in accuracies.items() if accuracy >= goal]
    if within:
        chosen = max(within, key=lambda level: level.leanness)
    else:
        chosen = max(accuracies, key=lambda level: (accuracies[level], level.leanness))
    return Selection(accuracies, chosen, bool(within))


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
            break
    return choose(reached, goal)


def search(
    levels: Sequence[Level],
    accuracy: Accuracy,
    goal: float,
    margin: float = 0.0,
    most: int | None = None,
) -> Selection:
    """Takes the leanest level that is accurate enough, as bisection finds it.

    It begins at a third of the levels instead of the middle: a leaner level goes on from the
    weights of a larger one, and not the other way round. A level that misses the goal by no more
    than the margin may have done so by chance, so that leaner ones are tried as if it had not. If
    no level tried reaches the goal, the most accurate one is taken.

    Args:
        levels: from the largest network to the leanest; one at least.
        accuracy: called for about `log2(len(levels))` of them.
        goal: validation accuracy to reach, 0..1.
        margin: of the accuracies, such as their standard error.
        most: how many levels to try at most; `None` for as many as it takes.
    """
    reached: dict[Level, float] = {}
    largest, leanest = -1, len(levels)  # between these the leanest that is accurate enough lies
    position = len(levels) // 3
    while largest < position < leanest and len(reached) != most:
        reached[levels[position]] = accuracy(levels[position])
        if reached[levels[position]] >= goal - margin:
            largest = position
        else:
            leanest = position
        position = (largest + leanest) // 2
    return choose(reached, goal)


def most_accurate(levels: Sequence[Level], accuracy: Accuracy) -> Selection:
    """Tries all levels and takes the most accurate one, of several the leanest."""
    reached = {level: accuracy(level) for level in levels}
    return choose(reached, max(reached.values()))


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
