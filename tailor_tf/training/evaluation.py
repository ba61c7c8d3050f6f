"""Predictions, accuracy and confusion matrix of a trained model."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

SMALLEST_VARIANCE = 1e-6  # of a node; a teacher's node may be constant


@functools.lru_cache(maxsize=4)
def inference(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """The compiled forward pass of a model: images `[batch, ...]` to logits `[batch, classes]`."""
    images = tf.TensorSpec(model.input.shape, model.input.dtype)
    return tf.function(
        lambda images: model(images, training=False)["logits"], input_signature=[images]
    )


def predict(model: keras.Model, batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[examples, classes]` and labels `[examples]` of all batches, in order.

    One of the model's outputs must be `"logits"`.
    """
    infer = inference(model)
    pairs = [(infer(images).numpy(), labels.numpy()) for images, labels in batches]
    logits, labels = zip(*pairs, strict=True)
    return np.concatenate(logits), np.concatenate(labels)


def evaluate(model: keras.Model, batches: tf.data.Dataset) -> float:
    """Top-1 accuracy, 0..1, of a model with an output `"logits"`."""
    logits, labels = predict(model, batches)
    return float(np.mean(logits.argmax(-1) == labels))


def confusion(labels: np.ndarray, predicted: np.ndarray, *, num_classes: int) -> np.ndarray:
    """Confusion matrix: numbers of images, `[true class, predicted class]`, int64.

    Args:
        labels: true classes, integer `[examples]`.
        predicted: predicted classes, likewise.
        num_classes: number of classes.
    """
    counts = np.zeros((num_classes,) * 2, np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def node_variances(model: keras.Model, batches: tf.data.Dataset) -> list[float]:
    """Variance of each of a network's nodes over images and positions, the mean of all channels.

    Args:
        model: a model with an output `"nodes"`, such as a teacher.
        batches: images, and labels that are not used.
    """
    forward = tf.function(lambda images: model(images, training=False)["nodes"])
    sums = []
    for images, _ in batches:
        nodes = [np.float64(node).reshape(-1, node.shape[-1]) for node in forward(images)]
        sums.append([(len(x), x.sum(0), np.square(x).sum(0)) for x in nodes])
    return [_variance(*map(sum, zip(*parts, strict=True))) for parts in zip(*sums, strict=True)]


def _variance(count: int, total: np.ndarray, square: np.ndarray) -> float:
    """Mean over channels of the variance, from the sums of all values and of their squares."""
    variance = np.mean(square / count - np.square(total / count))
    return max(float(variance), SMALLEST_VARIANCE)
