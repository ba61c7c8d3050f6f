"""Formats of image files, and the registry of them."""

import tensorflow as tf

from tailor_tf.data.formats.bmp import BMP
from tailor_tf.data.formats.format import ImageFormat, after, refuse_unless
from tailor_tf.data.formats.gif import GIF
from tailor_tf.data.formats.jpeg import JPEG
from tailor_tf.data.formats.png import PNG
from tailor_tf.data.formats.webp import WEBP

FORMATS: tuple[ImageFormat, ...] = (JPEG, PNG, BMP, GIF, WEBP)

SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.suffixes)
"""File name endings that are read, in lower or upper case."""

NAMES = f"{', '.join(known.name for known in FORMATS[:-1])} or {FORMATS[-1].name}"


def kind(contents: tf.Tensor) -> tf.Tensor:
    """Position of a file's format in `FORMATS`, going by its first bytes; int32 scalar.

    Raises:
        tf.errors.InvalidArgumentError: a file of another kind.
    """
    matches = tf.stack([known.recognises(contents) for known in FORMATS])
    assertion = refuse_unless(
        tf.reduce_any(matches),
        "Received ",
        tf.strings.length(contents),
        f" bytes that are no {NAMES} image.",
    )
    return after(assertion, tf.argmax(tf.cast(matches, tf.int32), output_type=tf.int32))
