"""Baselines: other methods with a universal network, which NetTailor is compared with.

Full fine-tuning is the teacher (`student.build_teacher`), also of a truncated network. The two
baselines here share the universal kernels between tasks, as a student does, but every task runs the
whole network.
"""

from collections.abc import Callable, Mapping

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.network.factories import AdapterLayers, UniversalLayers
from tailor_tf.network.graph import build_network
from tailor_tf.records import phase


def build_linear(universal: Universal, num_classes: int) -> keras.Model:
    """Builds a network that trains only a classifier, and re-estimates batch-norm statistics.

    It has the same outputs as a network of `graph.build_network`.
    """
    return build_network(universal.graph, num_classes, layers=UniversalLayers(universal.model))


def build_residual_adapters(universal: Universal, num_classes: int) -> keras.Model:
    """Builds a network with parallel residual adapters (Rebuffi et al., CVPR 2018).

    Each 3x3 convolution of the universal network gets a 1x1 convolution beside it, the adapter,
    which reads the same tensor. Both outputs are added. All weights of batch norms belong to the
    task. Adapters start at zero, so that the network starts as the universal network. It has the
    same outputs as a network of `graph.build_network`.
    """
    return build_network(universal.graph, num_classes, layers=AdapterLayers(universal.model))


BASELINES: Mapping[str, Callable[[Universal, int], keras.Model]] = {
    phase.LINEAR: build_linear,
    phase.RESIDUAL_ADAPTERS: build_residual_adapters,
}
