"""Example images of a task: one of each class, and mistakes of a network."""

import base64

import numpy as np
import tensorflow as tf

from tailor_tf.data.splits import Split
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import ExamplesRecord, PhaseRecord

MOST_EXAMPLES = 200  # largest number of classes with an example
CONFUSIONS_SHOWN = 12
THUMBNAIL = 64  # longer side of an example, pixels


def choose_examples(
    phase: Phase, record: PhaseRecord, split: Split, predicted: np.ndarray
) -> ExamplesRecord:
    """The first image of each class, and one for each of the most frequent confusions.

    Args:
        phase: the phase of the network.
        record: the record of the phase.
        split: the images.
        predicted: class that the network predicts for each image, int `[examples]`.
    """
    classes, first = np.unique(split.labels, return_index=True)
    shown = zip(classes[:MOST_EXAMPLES].tolist(), first.tolist(), strict=False)
    wrong = [entry for entry in record.confusion[split.name] if entry[0] != entry[1]]
    frequent = sorted(wrong, key=lambda entry: -entry[2])[:CONFUSIONS_SHOWN]
    return ExamplesRecord(
        of=phase.name,
        split=split.name,
        classes=tuple((label, _png(split, index)) for label, index in shown),
        confusions=tuple(
            (true, other, _png(split, _first(split.labels == true, predicted == other)))
            for true, other, _ in frequent
        ),
    )


def _first(right_class: np.ndarray, taken_for: np.ndarray) -> int:
    return int(np.flatnonzero(right_class & taken_for)[0])


def _png(split: Split, index: int) -> str:
    """An image of a split as PNG in base64; a large image is scaled down."""
    image = tf.convert_to_tensor(split.images[np.array([index])][0])
    if max(image.shape[:2]) > THUMBNAIL:
        image = tf.image.resize(image, (THUMBNAIL, THUMBNAIL), "area", preserve_aspect_ratio=True)
        image = tf.cast(tf.round(image), tf.uint8)
    return base64.b64encode(tf.io.encode_png(image).numpy()).decode("ascii")
