"""Which of several pruned networks to take (NetTailor, section 3.4)."""

import dataclasses
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Selection:
    """What was tried and taken.

    Attributes:
        tried: numbers of universal blocks that were removed, in the order tried.
        chosen: the number taken.
        within_tolerance: whether its accuracy reaches the goal.
    """

    tried: tuple[int, ...]
    chosen: int
    within_tolerance: bool


def leanest(levels: Sequence[int], accuracy: Callable[[int], float], goal: float) -> Selection:
    """Takes the first level that is accurate enough; the most accurate one if there is none.

    Args:
        levels: numbers of universal blocks to remove, from the leanest network on.
        accuracy: tunes a level and returns its validation accuracy, 0..1; called in order, until a
            level reaches the goal.
        goal: validation accuracy to reach, 0..1.
    """
    reached: dict[int, float] = {}
    for level in levels:
        reached[level] = accuracy(level)
        if reached[level] >= goal:
            return Selection(tuple(reached), level, True)
    return Selection(tuple(reached), max(reached, key=reached.__getitem__), False)
