"""Decoding, resizing and the ways to hold images."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tailor_tf.data import images
from tailor_tf.data.errors import DataError


def smooth_image(width: int, height: int) -> Image.Image:
    """A colourful picture without hard edges, which every JPEG decoder has to interpolate."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 5), np.cos(columns / 7), np.sin((rows + columns) / 9)]
    return Image.fromarray((127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8))


def pillow_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_pixels_equal_pillows(tmp_path: Path, quality: int, subsampling: int):
    path = tmp_path / "a.jpg"
    smooth_image(48, 48).save(path, quality=quality, subsampling=subsampling)
    np.testing.assert_array_equal(images.decode_files([str(path)], 48)[0], pillow_pixels(path))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.webp", "a.JPEG"])
def test_formats_equal_pillow(tmp_path: Path, name: str):
    path = tmp_path / name
    options = {"lossless": True} if name.endswith("webp") else {}
    smooth_image(16, 16).save(path, **options)
    np.testing.assert_array_equal(images.decode_files([str(path)], 16)[0], pillow_pixels(path))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_png_modes_become_rgb(tmp_path: Path, mode: str):
    path = tmp_path / "a.png"
    smooth_image(16, 16).convert(mode).save(path)
    np.testing.assert_array_equal(images.decode_files([str(path)], 16)[0], pillow_pixels(path))


@pytest.mark.parametrize(("width", "height"), [(24, 24), (40, 24), (24, 41), (7, 9)])
def test_shorter_side_is_scaled_and_the_centre_cut(width: int, height: int):
    picture = smooth_image(width, height)
    scale = 12 / min(width, height)
    target = (round(width * scale), round(height * scale))
    scaled = np.asarray(picture.resize(target, Image.Resampling.BILINEAR), int)
    left, top = (target[0] - 12) // 2, (target[1] - 12) // 2
    expected = scaled[top : top + 12, left : left + 12]
    found = images.resize_and_crop(tf.constant(np.asarray(picture)), 12).numpy().astype(int)
    # Pillow filters with 8-bit weights and rounds after each of the two directions.
    assert np.abs(found - expected).max() <= 2


def test_an_image_of_the_right_size_is_not_touched():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(images.resize_and_crop(tf.constant(pixels), 8), pixels)


def test_truncated_image_is_named_among_good_ones(tmp_path: Path):
    paths = [tmp_path / f"{index}.jpg" for index in range(5)]
    for path in paths:
        smooth_image(32, 32).save(path)
    paths[3].write_bytes(paths[3].read_bytes()[:300])
    with pytest.raises(DataError, match=r"Cannot decode .*3\.jpg: .*Repair or remove it"):
        images.decode_files([str(path) for path in paths], 32)


def test_missing_file_is_named():
    with pytest.raises(DataError, match=r"Cannot read an image file: .*nowhere\.png"):
        images.decode_files(["nowhere.png"], 8)


def test_images_over_the_budget_go_to_disk():
    in_memory, on_disk = (images.empty_images(4, 8, budget) for budget in (4 * 8 * 8 * 3, 0))
    assert type(in_memory) is np.ndarray
    assert isinstance(on_disk, np.memmap)
    on_disk[2] = 7
    chosen = images.select_images(on_disk, np.array([1, 2]))
    assert isinstance(chosen, images.ImageRows)
    assert chosen.shape == (2, 8, 8, 3)
    assert chosen[np.array([1])].sum() == 7 * 8 * 8 * 3


def test_images_that_do_not_fit_on_disk():
    with pytest.raises(DataError, match="set TMPDIR to a larger disk"):
        images.empty_images(10**15, 8, 0)
