"""Encoded images: what is decoded, and what is refused before it takes memory or time."""

import io

import pytest
import tensorflow as tf
from PIL import Image

from export import encoded
from tailor_tf.data.square import Square


def _header(height, width):
    """A PNG file that says how large it is and holds no pixels."""
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sides + b"\x08\x02\0\0\0" + b"\0" * 50


def _jpeg(height, width):
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "JPEG", quality=1)
    return file.getvalue()


def _message(content, side, fit="crop"):
    """Why an image is not decoded."""
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        encoded.decode(tf.constant(content), Square(side, fit))
    return error.value.message


def _limit(height, width):
    return f"image of {height}x{width} pixels; expected 67108864 at most, scaled or not."


@pytest.mark.parametrize(("height", "width"), [(8193, 8192), (8192, 8193), (65_535, 65_535)])
def test_more_pixels_are_refused_by_the_header(height, width):
    assert _limit(height, width) in _message(_header(height, width), side=8)


def test_the_pixels_of_an_image_that_is_not_too_large_are_read():
    """There are none in this file, which is another error."""
    message = _message(_header(8192, 8192), side=8)
    assert message and _limit(8192, 8192) not in message


def test_more_pixels_once_they_are_scaled_are_refused():
    """The shorter side is scaled to 256 pixels, and the longer one likewise: 256 times each."""
    assert _limit(1025, 1) in _message(_header(1025, 1), side=256)
    assert _limit(1, 1025) in _message(_header(1, 1025), side=256)
    assert _limit(1024, 1) not in _message(_header(1024, 1), side=256)


@pytest.mark.parametrize("fit", ["squeeze", "pad"])
def test_rules_that_scale_to_the_square_have_no_such_limit(fit):
    assert "scaled or not" not in _message(_header(1025, 1), side=256, fit=fit)
    assert _limit(8193, 8192) in _message(_header(8193, 8192), side=256, fit=fit)


def test_jpeg_files_have_the_same_limits():
    assert _limit(65_500, 8) in _message(_jpeg(65_500, 8), side=256)
    assert encoded.decode(tf.constant(_jpeg(20, 8)), Square(16)).shape == (16, 16, 3)


def test_an_image_among_others_is_refused_alike():
    contents = tf.constant([_jpeg(20, 8), _header(8193, 8192)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="8193x8192 pixels; expected 67108864"):
        encoded.decode_batch(contents, Square(8))
