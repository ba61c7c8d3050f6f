"""Accuracy to expect of a chosen network on other images than those that it was chosen on.

The leanest network that reaches a goal, or the most accurate of several, owes a part of its
accuracy on the validation images to chance. Therefore the choice is repeated on images drawn with
replacement (the bootstrap, Efron 1979), and each time the network chosen is judged on the images
that were not drawn. Nothing is trained for it. Not in the paper.
"""

from collections.abc import Callable, Mapping

import numpy as np

from tailor_tf.records.level import Level

DRAWS = 2000

# From whether the levels and the teacher are right, bool `[images]` each, to the level chosen.
Choose = Callable[[Mapping[Level, np.ndarray], np.ndarray], Level]


def expected_difference(
    teacher: np.ndarray, levels: Mapping[Level, np.ndarray], choose: Choose, *, draws: int = DRAWS
) -> float:
    """Expected accuracy of the chosen network minus its teacher's, on other images, -1..1.

    Args:
        teacher: whether the teacher is right, bool `[images]`, for each validation image.
        levels: the same of the networks to choose from, by level.
        choose: the choice to repeat.
        draws: number of repetitions.
    """
    rng, images = np.random.default_rng(0), len(teacher)
    found = []
    for _ in range(draws):
        drawn = rng.integers(images, size=images)
        others = np.setdiff1d(np.arange(images), drawn)
        if not len(others):
            continue  # a few images, all of them drawn
        shown = {level: right[drawn] for level, right in levels.items()}
        chosen = levels[choose(shown, teacher[drawn])]
        found.append(chosen[others].mean() - teacher[others].mean())
    return float(np.mean(found)) if found else 0.0
