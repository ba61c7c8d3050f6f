"""JPEG files."""

import tensorflow as tf

from tailor_tf.data.formats.format import ImageFormat, starts_with


def _header(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.io.extract_jpeg_shape(contents)[:2], contents


def _pixels(contents: tf.Tensor) -> tf.Tensor:
    """Decodes with the accurate integer DCT, so that pixels are the same as from other programs.

    TensorFlow's default is faster and less accurate than libjpeg's, which Pillow has.
    """
    # libjpeg can also decode at a half, a quarter or an eighth of the size. With three times the
    # pixels per side that are needed, this takes 0.6 to 0.8 of the time for 12 million pixels and
    # as long for one million or less. Sizes are rounded, which moves levels by up to 27 of 255, and
    # programs that decode by themselves and send pixels would no longer get the same answers.
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


JPEG = ImageFormat(
    name="JPEG",
    suffixes=(".jpg", ".jpeg"),
    recognises=lambda contents: starts_with(contents, b"\xff\xd8\xff"),
    header=_header,
    pixels=_pixels,
)
