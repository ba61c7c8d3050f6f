"""Expected complexity of a student, E[C] (NetTailor, eq. 5-10).

A path is a random event: it exists with the probability that its gate says. The functions below use
nothing but arithmetic, so gates may be numbers or tensors of any backend.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tailor_tf.network.architecture import Architecture, Path

Gates = Mapping[Path, Any]


def _none_of(probabilities) -> Any:
    """Probability that none of several independent events happens; 1 where there are none."""
    return math.prod(1 - probability for probability in probabilities)


def paper(gates: Gates, architecture: Architecture, costs: Mapping[Path, float]) -> Any:
    """E[C] as the paper writes it (eq. 8-10).

    `E[C_i^j] = C_i^j (1 - r_i^j - P(inp_i) - P(out_j))` with `r = 1 - alpha`, where `P(inp_i)` is
    the product of `r` over the paths into node `i` (0 for the stem) and `P(out_j)` that over the
    paths that leave node `j` (0 for the last layer). The three events are added as if they
    excluded each other: with gates near 0 a path's term can be negative.

    Args:
        gates: gate `alpha` of each path.
        architecture: the paths that exist.
        costs: complexity `C` of each path, in any unit.

    Returns:
        The sum over all paths, in the unit of `costs`.
    """
    last = architecture.num_blocks
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
    """E[C] with gates as independent events along the graph; exact where all gates are 0 or 1.

    Node `j` is fed with probability `f_j = 1 - prod(1 - alpha f_i)` over the paths from `i` into
    it, and read with `b_j = 1 - prod(1 - alpha b_k)` over the paths that leave it for `k`. A path
    costs `C alpha f_i b_j`. Never negative.

    Args and return value are those of `paper`.
    """
    last = architecture.num_blocks
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
    """`gamma1` as a multiplier that drives E[C] down to a target, not a number chosen by hand.

    The logarithm of the multiplier of the constraint `E[C] = target` is what a controller,
    proportional and integral, gives for the relative distance from the target: gradient ascent,
    damped. It is never negative: a student that needs less than the target ends below it. Not in
    the paper.

    Args:
        start: the weight at the start.
        target: E[C] to end at, in the unit of the costs.
        steps: steps that the training has.

    Attributes:
        variable: the weight.
        state: the variables that it depends on, by name, to be saved with a training.
    """

    _PACE = 10.0  # e-folds over a whole training at E[C] twice the target or more
    _DAMPING = 1.0  # e-folds at once, likewise

    def __init__(self, start: float, target: float, steps: int):
        self.variable = keras.Variable(start, trainable=False, name="complexity_weight")
        self._integral = keras.Variable(math.log(start), trainable=False, name="integral")
        self.state = {"complexity_weight": self.variable, "integral": self._integral}
        self.target = target
        self._rate = self._PACE / steps

    def update(self, expected: float) -> None:
        """Takes one step, going by the E[C] of a training step."""
        distance = min(max(expected / self.target - 1, -1.0), 1.0)
        self._integral.assign_add(self._rate * distance)
        self.variable.assign(math.exp(float(self._integral) + self._DAMPING * distance))


ESTIMATORS: Mapping[str, Callable[[Gates, Architecture, Mapping[Path, float]], Any]] = {
    "paper": paper,
    "reachability": reachability,
}
