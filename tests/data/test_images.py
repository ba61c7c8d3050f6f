"""Ways to hold images, and files that cannot be decoded."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tailor_tf.data import images
from tailor_tf.data.decoding import make_square
from tailor_tf.data.errors import DataError
from tailor_tf.data.square import Square
from tests.data.pictures import smooth_image


def broken_jpeg(path: Path) -> str:
    smooth_image(32, 32).save(path)
    path.write_bytes(path.read_bytes()[:300])
    return str(path)


def test_broken_files_are_found_among_good_ones(tmp_path: Path):
    """A truncated file and a missing one; the others are read as Pillow reads them."""
    paths = [str(tmp_path / f"{index}.png") for index in range(600)]
    for index, path in enumerate(paths):
        smooth_image(8 + index % 3, 8).save(path)
    broken_jpeg(Path(paths[3]).with_suffix(".jpg"))
    paths[3] = str(tmp_path / "3.jpg")
    (tmp_path / "500.png").unlink()
    found, broken = images.decode_files(paths, Square(8))
    assert list(broken) == [3, 500]
    assert images.look_at_files(paths, Square(8)) == broken
    for index in (0, 255, 257, 599):
        expected = make_square(tf.constant(np.asarray(Image.open(paths[index]))), Square(8))
        np.testing.assert_array_equal(found[index], expected)
    assert "JPEG" in broken[3]
    assert broken[500] == "No such file or directory."


@pytest.mark.parametrize("name", [b"caf\xe9.png", "caf\u00e9.png".encode(), b"a\nb.png", b"%s.png"])
def test_names_of_any_bytes(tmp_path: Path, name: bytes):
    path = tmp_path / os.fsdecode(name)
    smooth_image(8, 8).save(path)
    found, broken = images.decode_files([str(path)], Square(8))
    np.testing.assert_array_equal(found[0], np.asarray(smooth_image(8, 8)))
    assert not broken
    lazy = images.ImageFiles(np.array([str(path)], object), Square(8))
    np.testing.assert_array_equal(lazy[np.array([0])], found)


def test_a_file_that_breaks_later_is_named(tmp_path: Path):
    path = broken_jpeg(tmp_path / "a.jpg")
    lazy = images.ImageFiles(np.array([path], object), Square(8))
    with pytest.raises(DataError, match=r"Cannot decode .*a\.jpg: .*Repair or remove it"):
        lazy[np.array([0])]


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
