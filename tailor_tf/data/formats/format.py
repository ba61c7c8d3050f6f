"""Interface of the formats of image files; each format is one object.

All functions are operations of TensorFlow, so that a SavedModel decodes as the training does.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

_HEAD = 128  # bytes; no format has a number of its header behind them


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """A format of image files, registered in `formats.FORMATS`.

    Attributes:
        name: the name that people know.
        suffixes: endings of file names, in lower case.
        recognises: from the file's content, a string scalar, to a bool scalar: whether it begins
            like a file of this format.
        header: from the content to height and width, int32 `[2]`, and to the content that `pixels`
            takes. Variants that TensorFlow reads wrongly raise an `InvalidArgumentError`; nothing
            is decoded.
        pixels: from the content to the image, uint8 `[height, width, 3]`, RGB. Grey images get
            three equal channels, transparency is dropped, 16 bits become the upper 8.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[tf.Tensor], tf.Tensor]
    header: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    pixels: Callable[[tf.Tensor], tf.Tensor]


def starts_with(contents: tf.Tensor, signature: bytes, at: int = 0) -> tf.Tensor:
    """Whether the bytes at a position, which may lie behind the end, are a signature."""
    if not at:
        return tf.strings.substr(contents, 0, len(signature)) == signature
    return _slice(contents, at, len(signature)) == signature


def number(contents: tf.Tensor, at: int, size: int, *, little_endian: bool = True) -> tf.Tensor:
    """An unsigned integer of the header, int64 scalar; bytes behind the end of the file are 0.

    Args:
        contents: string scalar, the file.
        at: position of its first byte.
        size: number of its bytes.
        little_endian: order of its bytes.
    """
    digits = tf.io.decode_raw(_slice(contents, at, size), tf.uint8)
    powers = range(size) if little_endian else reversed(range(size))
    return tf.reduce_sum(tf.cast(digits, tf.int64) * [256**power for power in powers])


def _slice(contents: tf.Tensor, at: int, length: int) -> tf.Tensor:
    head = tf.strings.join([tf.strings.substr(contents, 0, _HEAD), b"\0" * _HEAD])
    return tf.strings.substr(head, at, length)


def as_sides(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Height and width, int64 scalars, as int32 `[2]`; negative ones become 0."""
    return tf.cast(tf.clip_by_value([height, width], 0, tf.int32.max), tf.int32)


def refuse_unless(condition: tf.Tensor, *message: str | tf.Tensor) -> tf.Operation | None:
    """An assertion; tensors in the message are scalars."""

    def refuse() -> tf.Operation | None:
        return tf.debugging.Assert(False, [tf.strings.join(list(map(_as_text, message)))])

    return tf.cond(condition, tf.no_op, refuse)  # so that the message is made only if it is needed


def _as_text(part: str | tf.Tensor) -> str | tf.Tensor:
    is_text = isinstance(part, str) or part.dtype == tf.string
    return part if is_text else tf.strings.as_string(part)


def after(assertion: tf.Operation | None, value: tf.Tensor) -> tf.Tensor:
    """A tensor that exists only if an assertion holds."""
    with tf.control_dependencies([assertion]):
        return tf.identity(value)
