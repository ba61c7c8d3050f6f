"""Ways to hold images, and files that cannot be decoded."""

from pathlib import Path

import numpy as np
import pytest

from tailor_tf.data import images
from tailor_tf.data.errors import DataError
from tailor_tf.data.square import Square
from tests.data.pictures import smooth_image


def test_truncated_image_is_named_among_good_ones(tmp_path: Path):
    paths = [tmp_path / f"{index}.jpg" for index in range(5)]
    for path in paths:
        smooth_image(32, 32).save(path)
    paths[3].write_bytes(paths[3].read_bytes()[:300])
    with pytest.raises(DataError, match=r"Cannot decode .*3\.jpg: .*Repair or remove it"):
        images.decode_files([str(path) for path in paths], Square(32))


def test_missing_file_is_named():
    with pytest.raises(DataError, match=r"Cannot read an image file: .*nowhere\.png"):
        images.decode_files(["nowhere.png"], Square(8))


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
