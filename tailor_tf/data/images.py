"""Decoded images in memory, on disk or still in their files: three classes that hold images.

The images of a split are a NumPy array (possibly memory-mapped), `ImageFiles`, which decodes images
when they are read, or `ImageRows`, a selection of one of these. Each is indexed with an array of
positions and returns uint8 pixels `[positions, height, width, 3]`.
"""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tailor_tf.data.broken import Broken, settle
from tailor_tf.data.decoding import batch_decoder, decoder, why_refused
from tailor_tf.data.errors import DataError
from tailor_tf.data.square import Square

MEMORY_BUDGET = 2 * 1024**3
"""Most bytes that the decoded images of all splits of a task together may take in memory."""

_DECODING_BATCH = 256


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
    encoded: tf.data.Dataset,
    count: int,
    square: Square,
    *,
    read: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Decodes a data set of encoded images into an array, in parallel.

    Args:
        images: uint8 `[examples, side, side, 3]`, overwritten, except for images that cannot be
            decoded; `None` only to find these.
        encoded: data set of string scalars, each an encoded image.
        count: number of examples in the data set.
        square: the rule that makes images square.
        read: from an element of the data set to an encoded image.
        progress: called with the number of images of each batch.

    Returns:
        Positions of the images that cannot be read or decoded, int `[broken]`.
    """

    decode = decoder(square)

    def numbered(position: tf.Tensor, element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = decode(read(element))
        return position, image[0, 0, 0] if images is None else image

    dataset = encoded.enumerate().map(numbered, tf.data.AUTOTUNE).ignore_errors()
    found = []
    for positions, batch in dataset.batch(_DECODING_BATCH).prefetch(2).as_numpy_iterator():
        found.append(positions)
        if images is not None:
            images[positions] = batch
        progress(len(positions))
    return np.setdiff1d(np.arange(count), np.concatenate([[], *found]))


def decode_files(
    paths: Sequence[str], square: Square, *, progress: Callable[[int], None] = lambda done: None
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes image files in parallel.

    Args:
        paths: the files.
        square: the rule that makes images square.
        progress: called with the number of images of each batch.

    Returns:
        uint8 `[files, side, side, 3]`, in the order of `paths`, and the positions of the files that
        cannot be read or decoded, int `[broken]`; their images are undefined.
    """
    images = np.empty((len(paths), square.side, square.side, 3), np.uint8)
    return images, _read(images, paths, square, progress)


def look_at_files(
    paths: Sequence[str], square: Square, *, progress: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Decodes image files in parallel, to find those that `decode_files` cannot decode.

    Arguments and the second result of `decode_files`.
    """
    return _read(None, paths, square, progress)


def _read(
    images: np.ndarray | None,
    paths: Sequence[str],
    square: Square,
    progress: Callable[[int], None],
) -> np.ndarray:
    names = tf.data.Dataset.from_tensor_slices(_names(paths))
    return fill_images(images, names, len(paths), square, read=tf.io.read_file, progress=progress)


def _names(paths: Sequence[str]) -> list[bytes]:
    return [os.fsencode(path) for path in paths]  # not every name is UTF-8


def broken_file(path: str, square: Square) -> Broken:
    """The description of a file that cannot be read or decoded."""

    def reason() -> str:
        try:
            with open(path, "rb") as file:
                return why_refused(file.read(), square)
        except OSError as error:
            return error.strerror

    return Broken(path, reason)


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
        try:
            contents = tf.stack([tf.io.read_file(name) for name in _names(paths)])
            return batch_decoder(self.square)(contents).numpy()
        except tf.errors.OpError:
            broken = look_at_files(paths, self.square)
            settle([broken_file(paths[p], self.square) for p in broken], len(paths), skip=False)
            raise


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
