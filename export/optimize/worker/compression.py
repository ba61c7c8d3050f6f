"""Networks whose kernels become sparse or of few values, by TensorFlow Model Optimization."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras

from export.optimize.job import Job
from export.optimize.worker.network import Fixed

_Layer = tf_keras.layers.Layer


@dataclasses.dataclass(frozen=True, eq=False)
class Wrapped:
    """A network in training under a constraint.

    Attributes:
        model: the network, some of its layers wrapped.
        callbacks: Keras callbacks that its training needs.
        strip: takes the wrapping off the trained model again.
    """

    model: tf_keras.Model
    callbacks: Sequence[Any]
    strip: Callable[[tf_keras.Model], tf_keras.Model]


def sparse(network: tf_keras.Model, job: Job, steps: int) -> Wrapped:
    """A copy of a network whose smallest weights become zero over the steps of its training."""
    sparsity = tfmot.sparsity.keras
    every = max(1, min(10, steps // 6))
    last = max(steps * 2 // 3 // every, 1) * every
    schedule = sparsity.PolynomialDecay(0.0, job.amount, 0, last, frequency=every)
    wrap = functools.partial(sparsity.prune_low_magnitude, pruning_schedule=schedule)
    model = _with_kernels(network, wrap, job.amount)
    return Wrapped(model, [sparsity.UpdatePruningStep()], sparsity.strip_pruning)


def clustered(network: tf_keras.Model, job: Job, steps: int) -> Wrapped:
    """A copy of a network whose kernels have few distinct values throughout its training."""
    del steps
    clustering = tfmot.clustering.keras
    wrap = functools.partial(
        clustering.cluster_weights,
        number_of_clusters=int(job.amount),
        cluster_centroids_init=clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
    )
    return Wrapped(_with_kernels(network, wrap, job.amount), [], clustering.strip_clustering)


def _with_kernels(
    network: tf_keras.Model, wrap: Callable[[_Layer], _Layer], amount: float
) -> tf_keras.Model:
    """A copy of a network, the layers wrapped whose kernels are worth it."""
    kernels = (tf_keras.layers.Conv2D, tf_keras.layers.Dense)

    def chosen(layer: _Layer) -> _Layer:
        # A depthwise kernel holds few weights and is a Conv2D to nobody but Python.
        is_kernel = type(layer) in kernels
        enough = is_kernel and layer.get_weights()[0].size > 4 * max(amount, 1)
        return wrap(layer) if enough else layer

    with tf_keras.utils.custom_object_scope({"Fixed": Fixed}):
        return tf_keras.models.clone_model(network, clone_function=chosen)
