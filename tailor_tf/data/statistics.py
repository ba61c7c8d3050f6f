"""Mean and standard deviation of the colours of images."""

import numpy as np

from tailor_tf.data.images import Images

STATISTICS_IMAGES = 5000
"""Largest number of training images that mean and standard deviation are measured on."""

SMALLEST_STD = 1e-3
_BATCH = 256


def channel_statistics(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Measures mean and standard deviation of red, green and blue in a set of images.

    Args:
        images: uint8 `[examples, height, width, 3]`; if there are more than `STATISTICS_IMAGES`,
            only that number of images, evenly spaced, is used.

    Returns:
        Mean and standard deviation of the pixels scaled to 0..1, float64 `[3]` each. The standard
        deviation is at least `SMALLEST_STD`, so that images of one colour can be normalised.
    """
    chosen = np.linspace(0, len(images) - 1, min(len(images), STATISTICS_IMAGES)).astype(int)
    histogram = np.zeros((3, 256))
    for start in range(0, len(chosen), _BATCH):
        pixels = images[chosen[start : start + _BATCH]]
        for channel in range(3):
            histogram[channel] += np.bincount(pixels[..., channel].ravel(), minlength=256)
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    levels = np.arange(256) / 255
    mean = weights @ levels
    variance = (weights * (levels - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.maximum(np.sqrt(variance), SMALLEST_STD)
