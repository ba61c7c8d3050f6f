"""Encoded images of unknown origin, checked before they are decoded."""

import tensorflow as tf

from tailor_tf.data.decoding import decode_image
from tailor_tf.data.square import Square

MAX_PIXELS = 64 * 1024 * 1024
"""Pixels of the largest image that is decoded; of a larger one only the header is read."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"


def decode(contents: tf.Tensor, square: Square) -> tf.Tensor:
    """Decodes a JPEG or PNG image, turns it upright and makes it square; in a graph or eagerly.

    Args:
        contents: string scalar, the file.
        square: the rule that makes it square.

    Returns:
        uint8 `[side, side, 3]`; grey images get three equal channels, transparency is dropped.

    Raises:
        tf.errors.InvalidArgumentError: another kind of file, a damaged one, or more than
            `MAX_PIXELS` pixels, as it is or once it is scaled to be cropped.
    """
    is_png = _starts_with(contents, _PNG)
    with tf.control_dependencies([_is_known(contents, is_png)]):
        sides = tf.cond(is_png, lambda: _png_sides(contents), lambda: _jpeg_sides(contents))
    with tf.control_dependencies([_is_small(sides, square)]):
        accepted = tf.identity(contents)
    return decode_image(accepted, square)


def decode_batch(contents: tf.Tensor, square: Square) -> tf.Tensor:
    """Decodes images `[batch]`, each of its own size, as `decode` does.

    Returns:
        uint8 `[batch, side, side, 3]`.
    """
    return tf.map_fn(
        lambda content: decode(content, square),
        contents,
        fn_output_signature=tf.TensorSpec([square.side, square.side, 3], tf.uint8),
    )


def _starts_with(contents: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.strings.substr(contents, 0, len(signature)) == signature


def _is_known(contents: tf.Tensor, is_png: tf.Tensor) -> tf.Operation | None:
    """An assertion that a file is a JPEG or PNG image, going by its first bytes."""
    is_jpeg = _starts_with(contents, _JPEG)
    length = tf.strings.as_string(tf.strings.length(contents))
    message = ["Received ", length, " bytes that are no JPEG or PNG image."]
    return tf.debugging.Assert(is_png | is_jpeg, [tf.strings.join(message)])


def _is_small(sides: tf.Tensor, square: Square) -> tf.Operation | None:
    """An assertion that an image may be decoded and scaled.

    Args:
        sides: int32 `[2]`, height and width.
        square: the rule by which it is to be scaled.
    """
    scaled = tf.constant(square.side**2, tf.float64)
    if square.fit == "crop":  # the other rules scale no side beyond the square
        shorter, longer = tf.reduce_min(sides), tf.reduce_max(sides)
        scaled *= tf.cast(longer, tf.float64) / tf.cast(tf.maximum(shorter, 1), tf.float64)
    pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
    size = tf.strings.reduce_join(tf.strings.as_string(sides), separator="x")
    limit = f" pixels; expected {MAX_PIXELS} at most, scaled or not."
    return tf.debugging.Assert(
        (pixels <= MAX_PIXELS) & (scaled <= MAX_PIXELS),
        [tf.strings.join(["Received an image of ", size, limit])],
    )


def _png_sides(contents: tf.Tensor) -> tf.Tensor:
    header = tf.strings.substr(tf.strings.join([contents, b"\0" * 24]), 16, 8)
    return tf.io.decode_raw(header, tf.int32, little_endian=False)[::-1]  # height first


def _jpeg_sides(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.extract_jpeg_shape(contents)[:2]
