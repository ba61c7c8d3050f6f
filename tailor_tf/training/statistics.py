"""Moving statistics of batch norms, estimated anew for a network whose paths have changed."""

import contextlib
import functools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.network.layers import BatchNorm, statistics_momentum


def estimate_statistics(model: keras.Model, batches: tf.data.Dataset) -> None:
    """Sets the moving statistics of all batch norms to their means over some batches, in place.

    A network that is pruned feeds its layers with other inputs than before. Moving statistics of
    before make it look far worse than it is (Wu and Johnson 2021, "precise batch norm").

    Args:
        model: a model whose batch norms are `BatchNorm` layers.
        batches: images and labels, such as those of training; labels are not used.
    """
    moving = [v for layer in _norms(model) for v in (layer.moving_mean, layer.moving_variance)]
    totals, count, forward = [0.0] * len(moving), 0, _forward(model)
    for images, _ in batches:
        forward(images)
        totals = [total + np.array(v) for total, v in zip(totals, moving, strict=True)]
        count += 1
    for variable, total in zip(moving, totals, strict=True):
        variable.assign(total / max(count, 1))


@contextlib.contextmanager
def kept(model: keras.Model) -> Iterator[None]:
    """Context manager: the statistics of a model's batch norms are afterwards what they were."""
    norms = _norms(model)
    before = [(np.array(norm.moving_mean), np.array(norm.moving_variance)) for norm in norms]
    try:
        yield
    finally:
        for norm, (mean, variance) in zip(norms, before, strict=True):
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(variance)


def _norms(model: keras.Model) -> list[BatchNorm]:
    return [layer for layer in model.layers if isinstance(layer, BatchNorm) and layer.trainable]


@functools.lru_cache(maxsize=1)
def _forward(model: keras.Model) -> Callable[[tf.Tensor], None]:
    """The compiled forward pass that leaves the statistics of its batch behind."""

    strategy = tf.distribute.get_strategy()

    def on_replica(images: tf.Tensor) -> None:
        with statistics_momentum(0.0):
            model(images, training=True)

    @tf.function
    def forward(images: tf.Tensor) -> None:
        strategy.run(on_replica, (images,))  # the same images on all of them

    return forward
