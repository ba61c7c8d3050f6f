"""Decoding of image files: one decoder, one rule of rotation, one rule that makes squares.

The training, the client and the SavedModel's graph decode with it, so that all of them accept and
refuse the same files.
"""

import functools
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tailor_tf.data import formats
from tailor_tf.data.errors import DataError
from tailor_tf.data.formats.format import after, refuse_unless
from tailor_tf.data.orientation import UPRIGHT, read_orientation, upright
from tailor_tf.data.square import Square
from tailor_tf.support import limits

# An assertion's message in a graph, also in JSON, and eagerly.
_SAID = r"assertion failed: \[(.*?)\](?=$|\n|\\n| \[Op)|Summarized data: b'(.*?)'"


def decode_image(contents: tf.Tensor, square: Square) -> tf.Tensor:
    """Decodes one encoded image, turns it upright and makes it square.

    JPEG files are turned as their Exif data say. What the formats have beside colours is described
    in `formats.format`.

    Args:
        contents: string scalar, a JPEG, PNG, BMP, GIF or WebP file.
        square: the rule that makes it square.

    Returns:
        uint8 `[side, side, 3]`, RGB.

    Raises:
        tf.errors.InvalidArgumentError: another kind of file, a damaged one, or more than
            `limits.PIXELS` pixels, as it is or once it is scaled to be cropped; see `refusal`.
    """
    kind = formats.kind(contents)
    image = tf.switch_case(
        kind, [functools.partial(_pixels, known, contents, square) for known in formats.FORMATS]
    )
    image.set_shape([None, None, 3])
    is_jpeg = kind == formats.FORMATS.index(formats.JPEG)
    orientation = tf.cond(is_jpeg, lambda: read_orientation(contents), lambda: UPRIGHT)
    # A large image is turned once it is small: for 12 million pixels it takes longer than decoding.
    scaled = _scaled(image, square)
    return _window(upright(scaled, orientation), square.side)


def decode_batch(contents: tf.Tensor, square: Square) -> tf.Tensor:
    """Decodes images `[batch]`, each of its own size, as `decode_image` does.

    Returns:
        uint8 `[batch, side, side, 3]`.
    """
    return tf.map_fn(
        lambda content: decode_image(content, square),
        contents,
        fn_output_signature=tf.TensorSpec([square.side, square.side, 3], tf.uint8),
    )


def _pixels(known: formats.ImageFormat, contents: tf.Tensor, square: Square) -> tf.Tensor:
    """The image of a file of a known format, once its header has been read."""
    sides, contents = known.header(contents)
    return known.pixels(after(_is_small(sides, square), contents))


def _is_small(sides: tf.Tensor, square: Square) -> tf.Operation | None:
    """An assertion that an image may be decoded and scaled.

    Args:
        sides: int32 `[2]`, height and width.
        square: the rule by which it is to be scaled.
    """
    pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
    return refuse_unless(
        (pixels <= limits.PIXELS) & (scaled_pixels(sides, square) <= limits.PIXELS),
        "Received an image of ",
        sides[0],
        "x",
        sides[1],
        f" pixels; expected at most --max_pixels={limits.PIXELS}, scaled or not.",
    )


def scaled_pixels(sides: tf.Tensor, square: Square) -> tf.Tensor:
    """Pixels of an image once it is scaled to be made square; those beyond the square included.

    Args:
        sides: integer `[2]`, height and width.
        square: the rule by which it is scaled.

    Returns:
        float64 scalar.
    """
    pixels = tf.constant(square.side**2, tf.float64)
    if square.fit == "crop":  # the other rules scale no side beyond the square
        shorter, longer = tf.reduce_min(sides), tf.reduce_max(sides)
        pixels *= tf.cast(longer, tf.float64) / tf.cast(tf.maximum(shorter, 1), tf.float64)
    return pixels


def refusal(message: str) -> str:
    """TensorFlow's message on an image that it does not accept, without the place in its graph."""
    said = re.search(_SAID, message, re.DOTALL)
    if said:
        return said[1] or said[2]
    first = (message or "no details").strip().splitlines()[0]
    return re.sub(r"\{\{.*?\}\} *|\[\[.*|\[Op:.*", "", first).strip()


def decode_content(content: bytes, square: Square) -> np.ndarray:
    """Decodes the content of one file as `decode_image` does; threads may call it together.

    Returns:
        uint8 `[side, side, 3]`, RGB.

    Raises:
        DataError: the file is not accepted; the message is the reason alone.
    """
    if not content:
        raise DataError("The file is empty.")
    try:
        return _decoder(square)(tf.constant(content)).numpy()
    except tf.errors.OpError as error:
        raise DataError(refusal(error.message)) from error


@functools.cache
def _decoder(square: Square) -> Callable[[tf.Tensor], tf.Tensor]:
    """`decode_image` with one rule, as a graph that is made once."""
    contents = tf.TensorSpec([], tf.string)
    return tf.function(lambda contents: decode_image(contents, square), input_signature=[contents])


def make_square(image: tf.Tensor, square: Square) -> tf.Tensor:
    """Makes an image square.

    Scaling is bilinear with antialiasing; the result is rounded to whole levels. An image that
    already has `side` x `side` pixels is returned unchanged.

    Args:
        image: uint8 `[height, width, 3]`, or `[batch, height, width, 3]`.
        square: the rule.

    Returns:
        uint8 `[side, side, 3]`, or a batch of them.
    """
    return _window(_scaled(image, square), square.side)


def _scaled(image: tf.Tensor, square: Square) -> tf.Tensor:
    """Scales uint8 images to the size that the central window is taken from."""
    shape = tf.shape(image)[-3:-1]
    target = _TARGETS[square.fit](tf.cast(shape, tf.float32), square.side)
    return tf.cond(tf.reduce_all(shape == target), lambda: image, lambda: _resized(image, target))


def _resized(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    resized = tf.image.resize(image, target, method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def _window(image: tf.Tensor, side: int) -> tf.Tensor:
    """The central square of images; what lies outside of an image are its outermost pixels."""
    sides = tf.shape(image)[-3:-1]
    places = tf.range(side)[:, None] + (sides - side) // 2
    rows, columns = tf.unstack(tf.clip_by_value(places, 0, sides - 1), axis=1)
    window = tf.gather(tf.gather(image, rows, axis=-3), columns, axis=-2)
    return tf.ensure_shape(window, [*image.shape[:-3], side, side, 3])


def _shorter_side(sides: tf.Tensor, side: int) -> tf.Tensor:
    scaled = tf.round(sides * (side / tf.reduce_min(sides)))
    return tf.maximum(tf.cast(scaled, tf.int32), side)


def _both_sides(sides: tf.Tensor, side: int) -> tf.Tensor:
    del sides
    return tf.constant([side, side])


def _longer_side(sides: tf.Tensor, side: int) -> tf.Tensor:
    scaled = tf.round(sides * (side / tf.reduce_max(sides)))
    return tf.clip_by_value(tf.cast(scaled, tf.int32), 1, side)


# From height and width, float32 `[2]`, and the side of a square to the size to scale to, int32.
_TARGETS: dict[str, Callable[[tf.Tensor, int], tf.Tensor]] = {
    "crop": _shorter_side,
    "squeeze": _both_sides,
    "pad": _longer_side,
}
