"""Augmentation of training images: random windows, mirror images and colours.

All random numbers of an epoch are drawn at once, one row per example. Scaled windows and colours
have a stream of random numbers of their own, so that order, windows and mirror images of a seed do
not depend on them.
"""

import math

import numpy as np
import tensorflow as tf

from tailor_tf.data.preprocessing import Preprocessing

_ASPECT = math.log(4 / 3)  # largest logarithm of width / height of a scaled window
_PHOTOGRAPHS = 1  # number of the stream for scaled windows and colours
_RIM = 1e-5  # distance of windows from the border, against black rims by rounding
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey, ITU-R BT.601


def draw(
    preprocessing: Preprocessing, count: int, *, seed: int, epoch: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws the random numbers of an epoch.

    Args:
        preprocessing: the augmentation.
        count: number of examples.
        seed: seed of the run, 0 or more.
        epoch: index of the epoch, 0 or more.

    Returns:
        The order of the examples, int `[count]`, and the arguments of `augmented` that the
        preprocessing needs, by name.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(count)
    places = preprocessing.margin + 2 * preprocessing.crop_padding + 1
    corners = random.integers(0, places, (count, 2), np.int32)
    mirrored = (random.random(count) < 0.5) & preprocessing.flip
    drawn = {}
    random = np.random.default_rng([seed, epoch, _PHOTOGRAPHS])
    boxes, factors = _boxes(random, count, preprocessing.crop_scale), random.random((count, 3))
    if preprocessing.crops_scaled:
        boxes[mirrored] = boxes[mirrored][:, [0, 3, 2, 1]]
        drawn["boxes"] = boxes.astype(np.float32)
    elif preprocessing.flip or places > 1:
        drawn |= {"corners": corners, "mirrored": mirrored}
    if preprocessing.jitter:
        drawn["factors"] = (1 + preprocessing.jitter * (2 * factors - 1)).astype(np.float32)
    return order, drawn


def _boxes(random: np.random.Generator, count: int, smallest: float) -> np.ndarray:
    """Random windows of squares of side 1: top, left, bottom and right, `[count, 4]`.

    The area is uniform in `smallest` to 1, and the logarithm of width / height is uniform between
    those of 3/4 and 4/3, as far as a window of this area fits into the square.
    """
    areas = random.uniform(smallest, 1, count)
    widest = np.minimum(_ASPECT, -np.log(areas))
    aspects = np.exp(widest * random.uniform(-1, 1, count))
    sides = np.sqrt(np.stack([areas / aspects, areas * aspects], axis=1))
    corners = random.random((count, 2)) * (1 - sides)
    return np.clip(np.concatenate([corners, corners + sides], axis=1), _RIM, 1 - _RIM)


def augmented(
    images: tf.Tensor,
    preprocessing: Preprocessing,
    *,
    boxes: tf.Tensor | None = None,
    corners: tf.Tensor | None = None,
    mirrored: tf.Tensor | None = None,
    factors: tf.Tensor | None = None,
) -> tf.Tensor:
    """Random windows of images in random colours, normalised.

    Args:
        images: uint8 `[batch, resize, resize, 3]`.
        preprocessing: normalisation and size of the windows.
        boxes: float32 `[batch, 4]`, top, left, bottom and right of windows that are scaled to
            `image_size`, as parts of the image; left and right are swapped for mirror images.
        corners: int32 `[batch, 2]`, top row and left column of windows that are not scaled, in the
            image padded with zeros by `crop_padding`.
        mirrored: bool `[batch]`, which of these windows to mirror left to right.
        factors: float32 `[batch, 3]`, see `recoloured`.

    Returns:
        float32 `[batch, image_size, image_size, 3]`.
    """
    side = preprocessing.image_size
    if boxes is not None:
        images = scaled_windows(images, boxes, side)
    if factors is not None:
        images = recoloured(images, factors)
    images = preprocessing.normalise(images)
    if corners is None:
        return images
    return windows(images, corners, mirrored, preprocessing.crop_padding, side)


def windows(
    images: tf.Tensor, corners: tf.Tensor, mirrored: tf.Tensor, padding: int, side: int
) -> tf.Tensor:
    """Cuts a window out of each zero-padded image and mirrors some of them.

    Args:
        images: float `[batch, height, width, 3]`.
        corners: int32 `[batch, 2]`, top row and left column of each window in the padded image.
        mirrored: bool `[batch]`, which windows to flip left to right.
        padding: pixels of zeros added on each side.
        side: height and width of the windows.

    Returns:
        `[batch, side, side, 3]` of the type of `images`.
    """
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    along = tf.range(side)
    across = tf.where(mirrored[:, None], side - 1 - along, along)
    rows = tf.gather(padded, corners[:, :1] + along, axis=1, batch_dims=1)
    return tf.gather(rows, corners[:, 1:] + across, axis=2, batch_dims=1)


def scaled_windows(images: tf.Tensor, boxes: tf.Tensor, side: int) -> tf.Tensor:
    """Cuts a window out of each image and scales it, bilinearly.

    There is no antialiasing: windows are hardly ever much larger than `side`.

    Args:
        images: `[batch, height, width, 3]`.
        boxes: float32 `[batch, 4]`, top, left, bottom and right of each window, 0 for the centre of
            the first pixel and 1 for that of the last one.
        side: height and width of the results.

    Returns:
        float32 `[batch, side, side, 3]`, levels as in `images`.
    """
    own = tf.range(tf.shape(images)[0])
    return tf.image.crop_and_resize(images, boxes, own, [side, side])


def recoloured(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation, in this order.

    Brightness is the distance of all levels from 0, contrast that from the image's mean grey, and
    saturation that from the pixel's own grey. Levels beyond 0 and 255 are clipped each time.

    Args:
        images: levels 0..255, `[batch, height, width, 3]`.
        factors: float32 `[batch, 3]`, of brightness, contrast and saturation; 1 for no change.

    Returns:
        float32 `[batch, height, width, 3]`, levels 0..255.
    """
    brightness, contrast, saturation = tf.unstack(factors[:, :, None, None, None], axis=1)
    levels = _clipped(brightness * tf.cast(images, tf.float32))
    levels = _blended(tf.reduce_mean(_grey(levels), axis=(1, 2), keepdims=True), levels, contrast)
    return _blended(_grey(levels), levels, saturation)


def _grey(levels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(levels * tf.constant(_LUMA), axis=-1, keepdims=True)


def _blended(grey: tf.Tensor, levels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return _clipped(grey + factor * (levels - grey))


def _clipped(levels: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(levels, 0.0, 255.0)
