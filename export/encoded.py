"""Encoded images as strangers send them: looked at before they are decoded."""

import tensorflow as tf

from tailor_tf.data.images import decode_image

MAX_PIXELS = 64 * 1024 * 1024
"""Pixels of the largest image that is decoded; of a larger one nothing but the header is read."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"


def decode(contents: tf.Tensor, side: int) -> tf.Tensor:
    """Decodes a JPEG or PNG image and brings it to a square; in a graph or eagerly.

    Args:
        contents: string scalar, the file.
        side: of the result, pixels.

    Returns:
        uint8 `[side, side, 3]`; grey images get three equal channels, transparency is dropped.

    Raises:
        tf.errors.InvalidArgumentError: another kind of file, a damaged one, or more than
            `MAX_PIXELS` pixels, as it is or once its shorter side is `side`.
    """
    return decode_image(_checked(contents, side), side)


def decode_batch(contents: tf.Tensor, side: int) -> tf.Tensor:
    """Decodes images `[batch]`, each of its own size, as `decode` does.

    Returns:
        uint8 `[batch, side, side, 3]`.
    """
    return tf.map_fn(
        lambda content: decode(content, side),
        contents,
        fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8),
    )


def _checked(contents: tf.Tensor, side: int) -> tf.Tensor:
    """An encoded image, unless it is none that is decoded here; the error goes to the caller."""
    is_png = tf.strings.substr(contents, 0, len(_PNG)) == _PNG
    is_jpeg = tf.strings.substr(contents, 0, len(_JPEG)) == _JPEG
    length = tf.strings.as_string(tf.strings.length(contents))
    known = tf.debugging.Assert(
        is_png | is_jpeg,
        [tf.strings.join(["Received ", length, " bytes that are no JPEG or PNG image."])],
    )
    with tf.control_dependencies([known]):
        sides = tf.cond(is_png, lambda: _png_sides(contents), lambda: _jpeg_sides(contents))
    size = tf.strings.reduce_join(tf.strings.as_string(sides), separator="x")
    shorter, longer = tf.reduce_min(sides), tf.reduce_max(sides)
    scaled = side * side * tf.cast(longer, tf.float64) / tf.cast(tf.maximum(shorter, 1), tf.float64)
    small = tf.debugging.Assert(
        (tf.reduce_prod(tf.cast(sides, tf.int64)) <= MAX_PIXELS) & (scaled <= MAX_PIXELS),
        [
            tf.strings.join(
                [
                    "Received an image of ",
                    size,
                    f" pixels; expected {MAX_PIXELS} at most, scaled or not.",
                ]
            )
        ],
    )
    with tf.control_dependencies([small]):
        return tf.identity(contents)


def _png_sides(contents: tf.Tensor) -> tf.Tensor:
    header = tf.strings.substr(tf.strings.join([contents, b"\0" * 24]), 16, 8)
    return tf.io.decode_raw(header, tf.int32, little_endian=False)[::-1]  # height first


def _jpeg_sides(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.extract_jpeg_shape(contents)[:2]
