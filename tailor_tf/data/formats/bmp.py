"""BMP files: of 24 or 32 bits per pixel, and of 8 bits with a table of colours.

TensorFlow's decoder looks at the number of bits alone. It takes positions in the table of colours
for grey levels, and compressed pixels for plain ones.
"""

import tensorflow as tf

from tailor_tf.data.formats.format import (
    ImageFormat,
    after,
    as_sides,
    number,
    refuse_unless,
    starts_with,
)

_SHORTEST_HEADER = 40  # bytes; an older header has 12, with other fields
_PLAIN, _MASKED = 0, 3  # kinds of compression; the second one says which bits are which colour
_MASKS = (0xFF0000, 0xFF00, 0xFF)  # of red, green and blue in a pixel without compression
_COLOURS = 256  # of the longest table
_NO_COLOURS = bytes(4 * _COLOURS)


def _header(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    bits, compression = number(contents, 28, 2), number(contents, 30, 4)
    masks = [number(contents, 54 + 4 * index, 4) for index in range(len(_MASKS))]
    is_usual = (compression == _MASKED) & (bits == 32) & tf.reduce_all(tf.stack(masks) == _MASKS)
    is_plain = (compression == _PLAIN) & ((bits == 8) | (bits == 24) | (bits == 32))
    is_read = (is_plain | is_usual) & (number(contents, 14, 4) >= _SHORTEST_HEADER)
    assertion = refuse_unless(
        is_read,
        "Received a BMP image of ",
        bits,
        " bits per pixel and compression ",
        compression,
        "; expected 8, 24 or 32 bits without compression.",
    )
    width, height = (number(contents, at, 4) for at in (18, 22))
    height = tf.minimum(height, 2**32 - height)  # below 0 if the rows begin at the top
    return after(assertion, as_sides(height, width)), contents


def _pixels(contents: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    has_table = number(contents, 28, 2) == 8
    return tf.cond(has_table, lambda: _coloured(image[..., 0], contents), lambda: image)


def _coloured(places: tf.Tensor, contents: tf.Tensor) -> tf.Tensor:
    """The colours of pixels, from their places in the table; black behind its end."""
    declared = number(contents, 46, 4)  # 0 for the longest table
    count = tf.minimum(declared + _COLOURS * tf.cast(declared == 0, tf.int64), _COLOURS)
    start = 14 + number(contents, 14, 4)
    start = tf.minimum(start, tf.cast(tf.strings.length(contents), tf.int64))
    table = tf.strings.join([tf.strings.substr(contents, start, 4 * count), _NO_COLOURS])
    levels = tf.io.decode_raw(tf.strings.substr(table, 0, len(_NO_COLOURS)), tf.uint8)
    colours = tf.reshape(levels, [_COLOURS, 4])[:, 2::-1]  # blue, green, red and nothing
    return tf.gather(colours, tf.cast(places, tf.int32))


BMP = ImageFormat(
    name="BMP",
    suffixes=(".bmp",),
    recognises=lambda contents: starts_with(contents, b"BM"),
    header=_header,
    pixels=_pixels,
)
