"""Rotation tag of cameras: read from the bytes of a JPEG file, and applied to its pixels.

A camera stores pixels as its sensor sees them, and the rotation to show them with in the tag
`Orientation` of the Exif data. TensorFlow's decoders ignore the tag. It is read here by operations
of TensorFlow, so that a SavedModel reads it by the same rule as the training.
"""

import tensorflow as tf

UPRIGHT = 1
"""Value of the tag for an image that is stored as it is shown, and without the tag."""

_HEAD = 2**17  # bytes at the start of a file that are searched; Exif data has 65,535 at most
_MOST_SEGMENTS = 32  # before the Exif data, which should come first
_MOST_ENTRIES = 256  # of the table that holds the tag; cameras write about ten

_EXIF_SEGMENT, _EXIF = 0xFFE1, int.from_bytes(b"Exif\0\0", "big")
_APPLICATION, _COMMENT = 0xFFE, 0xFFFE  # the first is for markers without the last four bits
_LITTLE_ENDIAN, _BIG_ENDIAN = (int.from_bytes(order, "big") for order in (b"II", b"MM"))
_TIFF, _ORIENTATION, _SHORT = 42, 0x0112, 3


def read_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Reads the tag `Orientation` of a JPEG file.

    Args:
        contents: string scalar, the file.

    Returns:
        int32 scalar, 1 to 8 as in the Exif standard; `UPRIGHT` for files without the tag or with
        damaged Exif data.
    """
    with tf.device("CPU:0"):  # some fifty tiny operations: a GPU would wait for each of them
        head = tf.strings.join([tf.strings.substr(contents, 0, _HEAD), b"\0"])
        levels = tf.io.decode_raw(head, tf.uint8)
        start = _exif_segment(levels)
        return tf.cond(
            _is_exif(levels, start),
            lambda: _orientation(levels, start + 10),
            lambda: UPRIGHT,
        )


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors an image as its tag `Orientation` says.

    Args:
        image: `[height, width, channels]`, pixels as they are stored.
        orientation: integer scalar, 1 to 8.

    Returns:
        The image as it is to be shown; `[width, height, channels]` from 5 on.
    """
    return tf.cond(orientation == UPRIGHT, lambda: image, lambda: _turned(image, orientation))


def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """The image transposed, then mirrored left to right, then top to bottom, each where needed."""

    def is_one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == values)

    image = tf.cond(is_one_of(5, 6, 7, 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(is_one_of(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(is_one_of(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def _number(
    levels: tf.Tensor, at: tf.Tensor, size: int, little_endian: bool | tf.Tensor = False
) -> tf.Tensor:
    """Unsigned integers of `size` bytes at the positions `at`, int64; bytes after the end are 0."""
    offsets = tf.range(size, dtype=tf.int64)
    offsets = tf.where(little_endian, offsets[::-1], offsets)
    last = tf.size(levels, tf.int64) - 1  # a zero, see read_orientation
    digits = tf.gather(levels, tf.minimum(at[..., None] + offsets, last))
    places = tf.constant([256 ** (size - 1 - index) for index in range(size)], tf.int64)
    return tf.reduce_sum(tf.cast(digits, tf.int64) * places, axis=-1)


def _exif_segment(levels: tf.Tensor) -> tf.Tensor:
    """Position of the Exif segment; without one, of the first segment that is not the program's."""

    def is_passed(at: tf.Tensor) -> tf.Tensor:
        marker = _number(levels, at, 2)
        is_skippable = (marker // 16 == _APPLICATION) | (marker == _COMMENT)
        return is_skippable & ~_is_exif(levels, at)

    def following(at: tf.Tensor) -> list[tf.Tensor]:
        return [at + 2 + _number(levels, at + 2, 2)]

    start = tf.constant(2, tf.int64)  # after the file's signature
    return tf.while_loop(is_passed, following, [start], maximum_iterations=_MOST_SEGMENTS)[0]


def _is_exif(levels: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Whether a segment holds Exif data: marker, length, signature, and then a TIFF header."""
    return (_number(levels, at, 2) == _EXIF_SEGMENT) & (_number(levels, at + 4, 6) == _EXIF)


def _orientation(levels: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The tag in the first table of entries of the TIFF header at `start`, `UPRIGHT` if damaged."""
    order = _number(levels, start, 2)
    little = order == _LITTLE_ENDIAN
    is_whole = little | (order == _BIG_ENDIAN)
    is_whole &= _number(levels, start + 2, 2, little) == _TIFF
    table = start + _number(levels, start + 4, 4, little)
    count = tf.minimum(_number(levels, table, 2, little), _MOST_ENTRIES)
    entries = table + 2 + 12 * tf.range(count)
    is_tag = _number(levels, entries, 2, little) == _ORIENTATION
    is_tag &= _number(levels, entries + 2, 2, little) == _SHORT
    values = tf.where(is_tag, _number(levels, entries + 8, 2, little), 0)
    value = tf.reduce_max(values)
    is_whole &= (value >= 1) & (value <= 8)
    return tf.where(is_whole, tf.cast(value, tf.int32), UPRIGHT)
