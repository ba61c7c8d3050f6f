"""Decoding, rotation and squares, compared with Pillow."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tailor_tf.data.decoding import decode_image, make_square
from tailor_tf.data.errors import DataError
from tailor_tf.data.square import FITS, Square
from tests.data.pictures import photograph, smooth_image

SHAPES = [(24, 24), (40, 24), (24, 41), (7, 9), (3, 40)]


def decoded(path: Path, side: int) -> np.ndarray:
    return decode_image(tf.constant(path.read_bytes()), Square(side)).numpy()


def pillow_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_pixels_equal_pillows(tmp_path: Path, quality: int, subsampling: int):
    path = tmp_path / "a.jpg"
    smooth_image(48, 48).save(path, quality=quality, subsampling=subsampling)
    np.testing.assert_array_equal(decoded(path, 48), pillow_pixels(path))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.webp", "a.JPEG"])
def test_formats_equal_pillow(tmp_path: Path, name: str):
    path = tmp_path / name
    options = {"lossless": True} if name.endswith("webp") else {}
    smooth_image(16, 16).save(path, **options)
    np.testing.assert_array_equal(decoded(path, 16), pillow_pixels(path))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_png_modes_become_rgb(tmp_path: Path, mode: str):
    path = tmp_path / "a.png"
    smooth_image(16, 16).convert(mode).save(path)
    np.testing.assert_array_equal(decoded(path, 16), pillow_pixels(path))


def pillow_crop(picture: Image.Image, side: int) -> np.ndarray:
    scale = side / min(picture.size)
    target = tuple(round(length * scale) for length in picture.size)
    left, top = (target[0] - side) // 2, (target[1] - side) // 2
    scaled = np.asarray(picture.resize(target, Image.Resampling.BILINEAR))
    return scaled[top : top + side, left : left + side]


def pillow_squeeze(picture: Image.Image, side: int) -> np.ndarray:
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))


def pillow_pad(picture: Image.Image, side: int) -> np.ndarray:
    scale = side / max(picture.size)
    target = tuple(max(round(length * scale), 1) for length in picture.size)
    scaled = np.asarray(picture.resize(target, Image.Resampling.BILINEAR))
    rest = [side - length for length in scaled.shape[:2]]
    return np.pad(scaled, [*((n - n // 2, n // 2) for n in rest), (0, 0)], mode="edge")


PILLOW = {"crop": pillow_crop, "squeeze": pillow_squeeze, "pad": pillow_pad}


def assert_close(found: np.ndarray, expected: np.ndarray):
    # Pillow filters with 8-bit weights and rounds after each of the two directions.
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_squares_equal_pillows(width: int, height: int, fit: str):
    picture = smooth_image(width, height)
    found = make_square(tf.constant(np.asarray(picture)), Square(12, fit)).numpy()
    assert_close(found, PILLOW[fit](picture, 12))


@pytest.mark.parametrize("fit", FITS)
def test_an_image_of_the_right_size_is_not_touched(fit: str):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(make_square(tf.constant(pixels), Square(8, fit)), pixels)


@pytest.mark.parametrize("fit", FITS)
def test_images_of_a_batch_are_made_square_alike(fit: str):
    images = np.stack([np.asarray(smooth_image(20, 30))[::step] for step in (1, -1)])
    found = make_square(tf.constant(images), Square(12, fit))
    for square, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(square, make_square(tf.constant(image), Square(12, fit)))


@pytest.mark.parametrize(
    ("square", "message"),
    [
        ({"side": 0}, "side of a square is 0; expected 1 or more"),
        ({"side": 8, "fit": "stretch"}, "fit is 'stretch'; expected one of crop, squeeze, pad"),
    ],
)
def test_rules_that_do_not_exist(square: dict, message: str):
    with pytest.raises(DataError, match=message):
        Square(**square)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(orientation: int, fit: str):
    """An odd rest of the crop, 41 - 24, shows whether it is cut before or after the rotation."""
    content = photograph(smooth_image(41, 24), orientation, quality=95, subsampling=0)
    with Image.open(io.BytesIO(content)) as picture:
        turned = ImageOps.exif_transpose(picture)
        expected = PILLOW[fit](turned, 24)
    assert_close(decode_image(tf.constant(content), Square(24, fit)).numpy(), expected)
