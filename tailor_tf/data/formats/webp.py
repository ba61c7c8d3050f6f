"""WebP files of one picture.

Animations are refused: TensorFlow's decoder damages the memory of the process when it reads them.
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

_SIDE = 2**14  # sides of simple files are numbers of 14 bits
_ANIMATED = 2  # bit of the flags of an extended file


def _header(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    is_extended, is_lossless = (starts_with(contents, name, 12) for name in (b"VP8X", b"VP8L"))
    is_animated = (number(contents, 20, 1) // _ANIMATED) % 2 == 1
    assertion = refuse_unless(
        ~(is_extended & is_animated), "Received an animated WebP image; expected a single picture."
    )
    sides = tf.cond(
        is_extended,
        lambda: _extended(contents),
        lambda: tf.cond(is_lossless, lambda: _lossless(contents), lambda: _lossy(contents)),
    )
    return after(assertion, sides), contents


def _extended(contents: tf.Tensor) -> tf.Tensor:
    width, height = (number(contents, at, 3) + 1 for at in (24, 27))
    return as_sides(height, width)


def _lossless(contents: tf.Tensor) -> tf.Tensor:
    both = number(contents, 21, 4)
    return as_sides(both // _SIDE % _SIDE + 1, both % _SIDE + 1)


def _lossy(contents: tf.Tensor) -> tf.Tensor:
    width, height = (number(contents, at, 2) % _SIDE for at in (26, 28))
    return as_sides(height, width)


def _pixels(contents: tf.Tensor) -> tf.Tensor:
    # Three channels may be asked for only if the file has no transparency, four only if it has.
    image = tf.io.decode_image(contents, channels=0, expand_animations=False)
    image.set_shape([None, None, None])
    return image[..., :3]


WEBP = ImageFormat(
    name="WebP",
    suffixes=(".webp",),
    recognises=lambda contents: starts_with(contents, b"RIFF") & starts_with(contents, b"WEBP", 8),
    header=_header,
    pixels=_pixels,
)
