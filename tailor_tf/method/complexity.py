"""Expected complexity of a student, E[C] (NetTailor, eq. 5-10).

Each path is a random event: its gate is the probability that it exists. The functions below use
only arithmetic, so gates may be numbers or tensors of any backend.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tailor_tf.network.architecture import Architecture, Path

Gates = Mapping[Path, Any]


def _none_of(probabilities) -> Any:
    """Probability that none of several independent events happens; 1 for no events."""
    return math.prod(1 - probability for probability in probabilities)


def paper(gates: Gates, architecture: Architecture, costs: Mapping[Path, float]) -> Any:
    """E[C] as in the paper (eq. 8-10).

    `E[C_i^j] = C_i^j (1 - r_i^j - P(inp_i) - P(out_j))` with `r = 1 - alpha`. `P(inp_i)` is the
    product of `r` over the paths into node `i`, 0 for the stem. `P(out_j)` is the product of `r`
    over the paths out of node `j`, 0 for the last layer. The three events are added as if they
    excluded each other, so a path's term can be negative if gates are near 0.

    Args:
        gates: gate `alpha` of each path.
        architecture: the paths that exist.
        costs: complexity `C` of each path, in any unit.

    Returns:
        The sum over all paths, in the unit of `costs`.
    """
    last = architecture.depth
    idle = {
        node: _none_of(gates[path] for path in architecture.into(node)) if node else 0.0
        for node in (0, *architecture.layers)
    }
    unread = {
        node: _none_of(gates[path] for path in architecture.out_of(node)) if node != last else 0.0
        for node in architecture.layers
    }
    return sum(
        costs[path] * (gates[path] - idle[path.source] - unread[path.target])
        for path in architecture.paths
    )


def reachability(gates: Gates, architecture: Architecture, costs: Mapping[Path, float]) -> Any:
    """E[C] with gates as independent events along the graph; exact if all gates are 0 or 1.

    Node `j` has an input with probability `f_j = 1 - prod(1 - alpha f_i)`, over the paths from `i`
    into it. It is read with probability `b_j = 1 - prod(1 - alpha b_k)`, over the paths from it to
    `k`. A path from `i` to `j` costs `C alpha f_i b_j`, which is never negative.

    Args and return value are the same as for `paper`.
    """
    last = architecture.depth
    fed = {0: 1.0}
    for node in architecture.layers:
        fed[node] = 1 - _none_of(gates[p] * fed[p.source] for p in architecture.into(node))
    read = {last: 1.0}
    for node in reversed(architecture.layers[:-1]):
        read[node] = 1 - _none_of(gates[p] * read[p.target] for p in architecture.out_of(node))
    return sum(
        costs[path] * gates[path] * fed[path.source] * read[path.target]
        for path in architecture.paths
    )


class DrivenWeight:
    """`gamma1` as a weight that is adjusted after each step, until E[C] reaches a target.

    The weight is the multiplier of the constraint `E[C] = target`. With the relative distance
    `d = E[C] / target - 1`, limited to -1..1, its logarithm is `integral + d`, where `integral`
    begins at `log(start)` and grows by `10 d / steps` in each step. This is a proportional-integral
    controller, that is, damped gradient ascent. The weight is never negative, so a student that
    needs less than the target ends below it. Not in the paper.

    Args:
        start: the weight at the start.
        target: the E[C] to reach, in the unit of the costs.
        steps: number of steps of the training.

    Attributes:
        variable: the weight.
        state: the variables that the weight depends on, by name, saved with a training.
    """

    _PACE = 10.0  # growth of the logarithm over a whole training, if E[C] is twice the target
    _DAMPING = 1.0  # part of the logarithm that is proportional to the distance, likewise

    def __init__(self, start: float, target: float, *, steps: int):
        self.variable = keras.Variable(start, trainable=False, name="complexity_weight")
        self._integral = keras.Variable(math.log(start), trainable=False, name="integral")
        self.state = {"complexity_weight": self.variable, "integral": self._integral}
        self.target = target
        self._rate = self._PACE / steps

    def update(self, expected: float) -> None:
        """Adjusts the weight by the E[C] of a training step."""
        distance = min(max(expected / self.target - 1, -1.0), 1.0)
        self._integral.assign_add(self._rate * distance)
        integral = float(np.array(self._integral))  # also of a variable with a copy on each device
        self.variable.assign(math.exp(integral + self._DAMPING * distance))


ESTIMATORS: Mapping[str, Callable[[Gates, Architecture, Mapping[Path, float]], Any]] = {
    "paper": paper,
    "reachability": reachability,
}
