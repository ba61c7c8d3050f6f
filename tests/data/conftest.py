"""Small image folders, made for each test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FolderMaker = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> FolderMaker:
    """Returns a function that writes images of random pixels.

    Its arguments are a layout, `{"train/cat": 3}` for three images in that folder, and the image
    size `(width, height)`; its result is the root folder.
    """

    def make(layout: dict[str, int], size: tuple[int, int] = (8, 8), suffix: str = "png") -> Path:
        random = np.random.default_rng(0)
        for folder, count in layout.items():
            (tmp_path / folder).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / f"{index:03}.{suffix}")
        return tmp_path

    return make
