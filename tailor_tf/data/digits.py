"""The handwritten digits that come with scikit-learn: a real task without a download."""

import numpy as np
import tensorflow as tf

from tailor_tf.data.source import Found, Source
from tailor_tf.data.splits import Split

_HIGHEST_LEVEL = 16


def load_digits(image_size: int) -> Found:
    """Reads 1,797 scanned digits of 8x8 pixels, grey levels 0..16.

    Args:
        image_size: side in pixels to which the images are scaled, bilinearly.

    Returns:
        The class names `"0"` to `"9"`, and all examples as the split `"train"`.
    """
    from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    grey = images.reshape(-1, 8, 8, 1) * (255 / _HIGHEST_LEVEL)
    scaled = tf.image.resize(grey, [image_size, image_size], method="bilinear", antialias=True)
    levels = np.clip(np.rint(scaled.numpy()), 0, 255).astype(np.uint8)
    classes = tuple(str(digit) for digit in range(10))
    return classes, {"train": Split("train", labels.astype(np.int32), levels.repeat(3, axis=-1))}


SOURCE = Source(
    usage="'digits' (built in)",
    load=lambda rest, reading: load_digits(reading.square.side),  # they are square
    name=lambda rest: "digits",
    mirrors=lambda rest: False,  # a mirrored digit is no digit
    has_rest=False,
)
