"""Decoding of image files: one decoder, one rule of rotation, one rule that makes squares."""

from collections.abc import Callable

import tensorflow as tf

from tailor_tf.data.orientation import UPRIGHT, read_orientation, upright
from tailor_tf.data.square import Square


def decode_image(contents: tf.Tensor, square: Square) -> tf.Tensor:
    """Decodes one encoded image, turns it upright and makes it square.

    JPEG files are decoded with the accurate integer DCT, so that the pixels are the same as from
    Pillow and other programs with libjpeg's default; TensorFlow's default is faster and less
    accurate. They are turned as their Exif data say. Of an animation, the first frame is taken.

    Args:
        contents: string scalar, a JPEG, PNG, BMP, GIF or WebP file.
        square: the rule that makes it square.

    Returns:
        uint8 `[side, side, 3]`, RGB.
    """
    is_jpeg = tf.io.is_jpeg(contents)
    image = tf.cond(
        is_jpeg,
        lambda: _decode_jpeg(contents),
        lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    orientation = tf.cond(is_jpeg, lambda: read_orientation(contents), lambda: UPRIGHT)
    # A large image is turned once it is small: for 12 million pixels it takes longer than decoding.
    scaled = _scaled(image, square)
    return _window(upright(scaled, orientation), square.side)


def _decode_jpeg(contents: tf.Tensor) -> tf.Tensor:
    # libjpeg can also decode at a half, a quarter or an eighth of the size. With three times the
    # pixels per side that are needed, this takes 0.6 to 0.8 of the time for 12 million pixels and
    # as long for one million or less. Sizes are rounded, which moves levels by up to 27 of 255, and
    # programs that decode by themselves and send pixels would no longer get the same answers.
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def make_square(image: tf.Tensor, square: Square) -> tf.Tensor:
    """Makes an image square.

    Scaling is bilinear with antialiasing; the result is rounded to whole levels. An image that
    already has `side` x `side` pixels is returned unchanged.

    Args:
        image: uint8 `[height, width, 3]`, or `[batch, height, width, 3]`.
        square: the rule.

    Returns:
        uint8 `[side, side, 3]`, or a batch of them.
    """
    return _window(_scaled(image, square), square.side)


def _scaled(image: tf.Tensor, square: Square) -> tf.Tensor:
    """Scales uint8 images to the size that the central window is taken from."""
    shape = tf.shape(image)[-3:-1]
    target = _TARGETS[square.fit](tf.cast(shape, tf.float32), square.side)
    return tf.cond(tf.reduce_all(shape == target), lambda: image, lambda: _resized(image, target))


def _resized(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    resized = tf.image.resize(image, target, method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def _window(image: tf.Tensor, side: int) -> tf.Tensor:
    """The central square of images; what lies outside of an image are its outermost pixels."""
    sides = tf.shape(image)[-3:-1]
    places = tf.range(side)[:, None] + (sides - side) // 2
    rows, columns = tf.unstack(tf.clip_by_value(places, 0, sides - 1), axis=1)
    window = tf.gather(tf.gather(image, rows, axis=-3), columns, axis=-2)
    return tf.ensure_shape(window, [*image.shape[:-3], side, side, 3])


def _shorter_side(sides: tf.Tensor, side: int) -> tf.Tensor:
    scaled = tf.round(sides * (side / tf.reduce_min(sides)))
    return tf.maximum(tf.cast(scaled, tf.int32), side)


def _both_sides(sides: tf.Tensor, side: int) -> tf.Tensor:
    del sides
    return tf.constant([side, side])


def _longer_side(sides: tf.Tensor, side: int) -> tf.Tensor:
    scaled = tf.round(sides * (side / tf.reduce_max(sides)))
    return tf.clip_by_value(tf.cast(scaled, tf.int32), 1, side)


# From height and width, float32 `[2]`, and the side of a square to the size to scale to, int32.
_TARGETS: dict[str, Callable[[tf.Tensor, int], tf.Tensor]] = {
    "crop": _shorter_side,
    "squeeze": _both_sides,
    "pad": _longer_side,
}
