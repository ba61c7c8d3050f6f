"""Sizes of requests, against the memory that they would take."""

import numpy as np
import pytest
import tensorflow as tf

from tailor_tf.data.decoding import make_square
from tailor_tf.data.requests import checked, most_images
from tailor_tf.data.square import FITS, Square
from tailor_tf.support import limits

SIZES = [
    (8, 8),
    (224, 224),
    (1, 1),
    (1, 65_500),
    (65_500, 1),
    (3, 4000),
    (8192, 8192),
    (9000, 9000),
]


def pixels_of(height, width, square):
    """Pixels of an image as it is, or once it is scaled if that is more."""
    scale = square.side / min(height, width) if square.fit == "crop" else 0
    return max(height * width, height * scale * width * scale)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("side", [8, 224])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_most_images(height, width, side, fit):
    square = Square(side, fit)
    most = int(most_images(height, width, square))
    one = pixels_of(height, width, square)
    assert most * one <= limits.REQUEST_PIXELS and most * side**2 <= limits.SQUARE_PIXELS
    more = most + 1
    assert more * one > limits.REQUEST_PIXELS or more * side**2 > limits.SQUARE_PIXELS


@pytest.mark.parametrize("shape", [(100_000, 1, 1, 3), (1, 1, 65_500, 3), (2, 8192, 8192, 3)])
def test_too_large_a_request(shape):
    """In the graph, whatever the declared size: `tf.zeros` of a scalar takes no memory before."""
    square = Square(128)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    def squares(images):
        return make_square(checked(images, square), square)

    text = ", ".join(map(str, shape))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"Received images \[{text}\], exp"):
        squares(tf.zeros(shape, tf.uint8))


def test_a_request_of_files():
    square = Square(256)
    most = limits.SQUARE_PIXELS // 256**2
    assert len(checked(tf.fill([most], b""), square)) == most
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"expected {most} at most"):
        checked(tf.fill([most + 1], b""), square)


def test_others_are_the_same():
    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    np.testing.assert_array_equal(checked(tf.constant(images), Square(4)), images)
