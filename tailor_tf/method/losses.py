"""Losses and scores of logits, as pure functions on any Keras backend."""

from keras import ops


def cross_entropy(labels, logits, label_smoothing=0.0):
    """Mean cross-entropy of logits `[batch, classes]` against integer labels `[batch]`, in nats."""
    classes = logits.shape[-1]
    targets = ops.one_hot(labels, classes, dtype=logits.dtype)
    targets = targets * (1 - label_smoothing) + label_smoothing / classes
    return ops.mean(ops.categorical_crossentropy(targets, logits, from_logits=True))


def accuracy(labels, logits):
    """Share of the batch whose largest logit is the label's."""
    hits = ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int32"))
    return ops.mean(ops.cast(hits, "float32"))
