"""GIF files; of an animation, the first picture is taken.

TensorFlow's decoder reads all pictures of a file into memory, and makes transparent pixels black.
Therefore it gets a file of the first picture alone, without the block that makes pixels
transparent.
"""

import tensorflow as tf

from tailor_tf.data.formats.format import ImageFormat, after, refuse_unless, starts_with

_SCREEN = 13  # bytes of signature and screen, after which the table of colours follows
_EXTENSION, _PICTURE, _END = 0x21, 0x2C, b";"
_MOST_EXTENSIONS = 64  # before the first picture


def _header(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    file = _File(contents)
    screen, start = file.pair(6), _SCREEN + file.table(10)  # width and height
    at = tf.while_loop(
        lambda at: file.byte(at) == _EXTENSION,
        lambda at: [file.after_blocks(at + 2)],
        [start],
        maximum_iterations=_MOST_EXTENSIONS,
    )[0]
    at = tf.minimum(at, file.size - 1)
    blocks = at + 10 + file.table(at + 9) + 1
    end = file.after_blocks(blocks)
    assertions = [
        refuse_unless(
            (file.byte(at) == _PICTURE) & (end < file.size),
            "Received a GIF file that is damaged or cut short.",
        ),
        refuse_unless(
            tf.reduce_all(file.pair(at + 1) == 0) & tf.reduce_all(file.pair(at + 5) == screen),
            "Received a GIF file whose first picture does not fill its screen; expected one that "
            "does.",
        ),
    ]
    picture = tf.strings.substr(contents, at, end - at)
    first = tf.strings.join([tf.strings.substr(contents, 0, start), picture, _END])
    for assertion in assertions:
        first = after(assertion, first)
    return screen[::-1], first


class _File:
    """The bytes of a file, which may end anywhere: behind the end, all of them are 0.

    Args:
        contents: string scalar, the file.
    """

    def __init__(self, contents: tf.Tensor):
        levels = tf.io.decode_raw(tf.strings.join([contents, b"\0"]), tf.uint8)
        self._levels = tf.cast(levels, tf.int32)
        self.size = tf.size(self._levels)  # one more than the file has
        self._ends = self._ends_of_blocks()

    def byte(self, at: int | tf.Tensor) -> tf.Tensor:
        """The byte at a position, int32."""
        return tf.gather(self._levels, tf.minimum(at, self.size - 1))

    def pair(self, at: int | tf.Tensor) -> tf.Tensor:
        """Two numbers of 16 bits, int32 `[2]`."""
        low, high = (self.byte(at + offset + tf.constant([0, 2])) for offset in (0, 1))
        return low + 256 * high

    def table(self, at: int | tf.Tensor) -> tf.Tensor:
        """Bytes of the table of colours that the flags at a position announce, 0 without one."""
        flags = self.byte(at)
        length = 3 * tf.bitwise.left_shift(2, flags % 8)
        return tf.where(flags >= 128, length, 0)

    def after_blocks(self, at: tf.Tensor) -> tf.Tensor:
        """Position after a chain of blocks: each begins with its length, and the last one has 0."""
        return tf.gather(self._ends, tf.minimum(at, self.size - 1)) + 1

    def _ends_of_blocks(self) -> tf.Tensor:
        """The end of the chain that begins at each position, int32 `[size]`.

        To follow one chain takes a step for each of its blocks. Instead, the steps of all positions
        are doubled until no chain can be longer: this takes the logarithm of the size.
        """
        places = tf.range(self.size)
        steps = tf.where(self._levels == 0, 0, self._levels + 1)
        following = tf.minimum(places + steps, self.size - 1)
        doublings = tf.math.log(tf.cast(self.size, tf.float32)) / tf.math.log(2.0) + 1
        return tf.while_loop(
            lambda ends: True,
            lambda ends: [tf.gather(ends, ends)],
            [following],
            maximum_iterations=tf.cast(doublings, tf.int32),
        )[0]


def _pixels(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_gif(contents)[0]


GIF = ImageFormat(
    name="GIF",
    suffixes=(".gif",),
    recognises=lambda contents: starts_with(contents, b"GIF8"),
    header=_header,
    pixels=_pixels,
)
