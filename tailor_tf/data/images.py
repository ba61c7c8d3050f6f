"""Decoded images in memory, on disk or still in their files: three classes that hold images.

The images of a split are a NumPy array (possibly memory-mapped), `ImageFiles`, which decodes images
when they are read, or `ImageRows`, a selection of one of these. Each is indexed with an array of
positions and returns uint8 pixels `[positions, height, width, 3]`.
"""

import concurrent.futures
import dataclasses
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tailor_tf.data.broken import settle
from tailor_tf.data.decoding import decode_content
from tailor_tf.data.errors import DataError
from tailor_tf.data.square import Square

MEMORY_BUDGET = 2 * 1024**3
"""Most bytes that the decoded images of all splits of a task together may take in memory."""

_GROUP = 256  # images that are decoded between two steps of a progress bar
_THREADS = os.cpu_count() or 1


def image_bytes(count: int, image_size: int) -> int:
    """Returns the bytes that `count` decoded RGB images of side `image_size` pixels take."""
    return count * image_size * image_size * 3


def empty_images(count: int, image_size: int, budget: int) -> np.ndarray:
    """Allocates an array for decoded images: in memory, or on disk if they exceed the budget.

    Args:
        count: number of images.
        image_size: side of the images in pixels.
        budget: largest number of bytes in memory.

    Returns:
        uint8 `[count, image_size, image_size, 3]`; above the budget a `numpy.memmap` of a
        temporary file, which is removed when the process ends.

    Raises:
        DataError: if the images exceed both the budget and the free space of the temporary
            directory.
    """
    shape, needed = (count, image_size, image_size, 3), image_bytes(count, image_size)
    if needed <= budget:
        return np.empty(shape, np.uint8)
    directory = tempfile.gettempdir()
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DataError(
            f"{count} decoded images of {image_size}x{image_size} pixels take"
            f" {needed / 1e9:.1f} GB; expected at most the {free / 1e9:.1f} GB that are free in"
            f" {directory}. Free some space, set TMPDIR to a larger disk, or choose a smaller"
            " image size."
        )
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


def fill_images(
    images: np.ndarray | None,
    encoded: Iterable[Any],
    square: Square,
    *,
    read: Callable[[Any], bytes] = lambda content: content,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[int, str]:
    """Decodes images into an array, in parallel.

    Args:
        images: uint8 `[examples, side, side, 3]`, overwritten, except for images that cannot be
            decoded; `None` only to find these.
        encoded: the encoded images, or what `read` reads them from.
        square: the rule that makes images square.
        read: from an element of `encoded` to the content of an image file.
        progress: called with the number of images of each group.

    Returns:
        Images that cannot be read or decoded: their positions, each with the reason.
    """

    def decode(numbered: tuple[int, Any]) -> str | None:
        position, element = numbered
        try:
            pixels = decode_content(read(element), square)
        except OSError as error:
            return f"{error.strerror}."
        except DataError as error:
            return str(error)
        if images is not None:
            images[position] = pixels
        return None

    broken, numbered = {}, enumerate(encoded)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        while group := list(itertools.islice(numbered, _GROUP)):
            reasons = zip(group, pool.map(decode, group), strict=True)
            broken |= {position: reason for (position, _), reason in reasons if reason}
            progress(len(group))
    return broken


def decode_files(
    paths: Sequence[str], square: Square, *, progress: Callable[[int], None] = lambda done: None
) -> tuple[np.ndarray, dict[int, str]]:
    """Decodes image files in parallel.

    Args:
        paths: the files.
        square: the rule that makes images square.
        progress: called with the number of images of each group.

    Returns:
        uint8 `[files, side, side, 3]`, in the order of `paths`, and the positions of files that
        cannot be read or decoded, each with the reason; their images are undefined.
    """
    images = np.empty((len(paths), square.side, square.side, 3), np.uint8)
    return images, fill_images(images, paths, square, read=_content, progress=progress)


def look_at_files(
    paths: Sequence[str], square: Square, *, progress: Callable[[int], None] = lambda done: None
) -> dict[int, str]:
    """Decodes image files in parallel, to find those that `decode_files` cannot decode.

    Arguments and the second result of `decode_files`.
    """
    return fill_images(None, paths, square, read=_content, progress=progress)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that stay in their files and are decoded each time they are read.

    Attributes:
        paths: file names, object `[examples]`.
        square: the rule that makes images square.
    """

    paths: np.ndarray
    square: Square

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Examples, height, width and channels."""
        return len(self.paths), self.square.side, self.square.side, 3

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        paths = self.paths[positions]
        images, broken = decode_files(paths, self.square)
        settle({paths[place]: reason for place, reason in broken.items()}, len(paths), skip=False)
        return images


@dataclasses.dataclass(frozen=True, eq=False)
class ImageRows:
    """A selection of images without a copy, for images that are not in memory.

    Attributes:
        images: the images that the selection is made from.
        rows: positions of the selected images, int `[examples]`.
    """

    images: "Images"
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Examples, height, width and channels."""
        return len(self.rows), *self.images.shape[1:]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        return self.images[self.rows[positions]]


Images = np.ndarray | ImageFiles | ImageRows


def select_images(images: Images, rows: np.ndarray) -> Images:
    """Returns the images at positions `rows`: a copy if they are in memory, a view otherwise."""
    in_memory = isinstance(images, np.ndarray) and not isinstance(images, np.memmap)
    return images[rows] if in_memory else ImageRows(images, rows)
