"""Importance of universal blocks: what the student loses without them.

A gate says how much of a layer's sum a block is, not how much of the task depends on it: with
proxies or an identity beside it, a block with a large gate may be missed by nobody. The blocks are
therefore removed in the order of what the loss says when they are left out, one after the other,
as in backward elimination. Not in the paper, which removes the smallest gates first.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np

from tailor_tf.method.student import Student
from tailor_tf.network import keys
from tailor_tf.network.architecture import Path

LEFT_OUT = -1e9  # gate logit whose softmax is 0


@contextlib.contextmanager
def left_out(student: Student, paths: Sequence[Path]) -> Iterator[None]:
    """Lets a student compute as if it was pruned of some paths; the other gates sum to one.

    Args:
        student: the student; in each layer, at least one path is not left out.
        paths: the paths to leave out.
    """
    before: list[tuple[keras.Variable, np.ndarray]] = []
    for layer in {path.target for path in paths}:
        logits = student.model.get_layer(keys.gate(layer)).logits
        value = keras.ops.convert_to_numpy(logits)
        gone = [path in paths for path in student.architecture.into(layer)]
        before.append((logits, value))
        logits.assign(np.where(gone, LEFT_OUT, value))
    try:
        yield
    finally:
        for logits, value in before:
            logits.assign(value)


def removal_order(
    student: Student, loss: Callable[[], float], costs: Mapping[Path, float]
) -> tuple[Path, ...]:
    """Universal blocks in the order in which they are removed.

    In each step, that block is removed whose removal adds least to the loss for its cost. Blocks
    whose layer has no other path are last. As blocks are missed more when others are gone, a block
    is looked at again only if it was the best one before (lazy evaluation, Minoux 1978).

    Args:
        student: the trained student.
        loss: computes the student's loss on some images.
        costs: complexity of each path, in any unit.
    """
    layers = map(student.architecture.into, student.architecture.layers)
    replaceable = [paths[0] for paths in layers if paths[0].universal and paths[1:]]
    waiting, removed = dict.fromkeys(replaceable, -np.inf), []
    current = loss()
    while waiting:
        looked_at: dict[Path, float] = {}  # losses in this step
        while (best := min(waiting, key=waiting.__getitem__)) not in looked_at:
            with left_out(student, [*removed, best]):
                looked_at[best] = loss()
            waiting[best] = (looked_at[best] - current) / costs[best]
        del waiting[best]
        removed.append(best)
        current = looked_at[best]
    rest = [p for p in student.architecture.paths if p.universal and p not in removed]
    return (*removed, *sorted(rest, key=lambda path: path.target, reverse=True))
