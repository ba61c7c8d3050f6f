"""PNG files."""

import tensorflow as tf

from tailor_tf.data.formats.format import ImageFormat, as_sides, number, starts_with


def _header(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    width, height = (number(contents, at, 4, little_endian=False) for at in (16, 20))
    return as_sides(height, width), contents


PNG = ImageFormat(
    name="PNG",
    suffixes=(".png",),
    recognises=lambda contents: starts_with(contents, b"\x89PNG\r\n\x1a\n"),
    header=_header,
    pixels=lambda contents: tf.io.decode_png(contents, channels=3),
)
