"""Sizes of requests: how many images may be made square and read by a network at once."""

import tensorflow as tf

from tailor_tf.data.decoding import scaled_pixels
from tailor_tf.data.square import Square
from tailor_tf.support import limits


def most_images(height: tf.Tensor, width: tf.Tensor, square: Square) -> tf.Tensor:
    """Largest number of images of one size that a request may have; in a graph or eagerly.

    A message of a few kilobytes can hold a tensor of many gigabytes, and a narrow image becomes
    thousands of times as large if its shorter side is scaled.

    Args:
        height: integer scalar, pixels.
        width: integer scalar, pixels.
        square: the rule that makes the images square.

    Returns:
        int64 scalar; 0 if one image is too large.
    """
    sides = tf.cast([height, width], tf.float64)
    pixels = tf.maximum(tf.reduce_prod(sides), scaled_pixels(sides, square))
    by_size = tf.cast(limits.REQUEST_PIXELS / tf.maximum(pixels, 1), tf.int64)
    return tf.minimum(by_size, limits.SQUARE_PIXELS // square.side**2)


def checked(images: tf.Tensor, square: Square) -> tf.Tensor:
    """Refuses a request that is too large.

    Args:
        images: `[batch, height, width, 3]`; or `[batch]`, files, which are decoded one by one.
        square: the rule that makes the images square.

    Returns:
        The same images.

    Raises:
        tf.errors.InvalidArgumentError: there are more images than `most_images`.
    """
    shape = tf.shape(images, out_type=tf.int64)
    height, width = tf.unstack(shape[1:3]) if images.shape.rank > 1 else (square.side, square.side)
    most = most_images(height, width, square)
    sizes = tf.strings.reduce_join(tf.strings.as_string(shape), separator=", ")
    limit = tf.strings.join(["], expected ", tf.strings.as_string(most), " at most of this size."])
    accepted = tf.debugging.Assert(
        shape[0] <= most, [tf.strings.join(["Received images [", sizes, limit])]
    )
    with tf.control_dependencies([accepted]):
        return tf.identity(images)
