"""What else one can do with a universal network: the methods that NetTailor is compared with.

Full fine-tuning is the teacher (`student.build_teacher`). The two here share the universal kernels
between tasks, as a student does, but every task runs the whole network.
"""

from collections.abc import Callable, Mapping

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.network.factories import AdapterLayers, UniversalLayers
from tailor_tf.network.graph import build_network


def build_linear(universal: Universal, num_classes: int) -> keras.Model:
    """Builds a new classifier on frozen features; batch-norm statistics become the task's.

    Outputs are those of `graph.build_network`.
    """
    return build_network(universal.graph, num_classes, layers=UniversalLayers(universal.model))


def build_residual_adapters(universal: Universal, num_classes: int) -> keras.Model:
    """Builds a network with parallel residual adapters (Rebuffi et al., CVPR 2018).

    Every 3x3 convolution of the universal network gets a 1x1 convolution beside it that reads the
    same tensor, the sum of both goes on, and every batch norm belongs to the task altogether. It
    starts as the universal network: adapters are zero. Outputs are those of `graph.build_network`.
    """
    return build_network(universal.graph, num_classes, layers=AdapterLayers(universal.model))


BASELINES: Mapping[str, Callable[[Universal, int], keras.Model]] = {
    "linear": build_linear,
    "residual_adapters": build_residual_adapters,
}
