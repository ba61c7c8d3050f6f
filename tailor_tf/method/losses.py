"""Losses and scores of logits, as pure functions on any Keras backend."""

from keras import ops


def cross_entropy(labels, logits, label_smoothing=0.0):
    """Mean cross-entropy of logits `[batch, classes]` and integer labels `[batch]`, in nats.

    `label_smoothing` is the probability that is spread evenly over all classes, 0..1.
    """
    classes = logits.shape[-1]
    targets = ops.one_hot(labels, classes, dtype=logits.dtype)
    targets = targets * (1 - label_smoothing) + label_smoothing / classes
    return ops.mean(ops.categorical_crossentropy(targets, logits, from_logits=True))


def accuracy(labels, logits):
    """Share of the batch whose largest logit is at the label: labels `[batch]`, result 0..1."""
    hits = ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int32"))
    return ops.mean(ops.cast(hits, "float32"))
