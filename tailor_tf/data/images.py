"""Decoded images in memory, on disk or still in their files: three classes that hold images.

The images of a split are a NumPy array (possibly memory-mapped), `ImageFiles`, which decodes images
when they are read, or `ImageRows`, a selection of one of these. Each is indexed with an array of
positions and returns uint8 pixels `[positions, height, width, 3]`.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tailor_tf.data.decoding import decode_image
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
    images: np.ndarray,
    encoded: tf.data.Dataset,
    square: Square,
    describe: Callable[[int], str],
) -> None:
    """Decodes a data set of encoded images into an array, in parallel and in order.

    Args:
        images: uint8 `[examples, side, side, 3]`, overwritten.
        encoded: data set of `examples` string scalars, each an encoded image.
        square: the rule that makes images square.
        describe: from the position of an example to its name in error messages.

    Raises:
        DataError: if an image cannot be decoded; the message names the image.
    """
    decoded = encoded.map(lambda contents: decode_image(contents, square), tf.data.AUTOTUNE)
    done = 0
    try:
        for batch in decoded.batch(_DECODING_BATCH).prefetch(2):
            images[done : done + len(batch)] = batch.numpy()
            done += len(batch)
    except tf.errors.OpError:
        _name_broken_image(encoded.skip(done), square, lambda position: describe(done + position))
        raise


def _name_broken_image(
    encoded: tf.data.Dataset, square: Square, describe: Callable[[int], str]
) -> None:
    """Decodes one image after the other to find the one that fails."""
    for position, contents in enumerate(encoded.take(_DECODING_BATCH)):
        try:
            decode_image(contents, square)
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0]
            raise DataError(
                f"Cannot decode {describe(position)}: {reason} Expected a whole JPEG, PNG, BMP,"
                " GIF or WebP image. Repair or remove it."
            ) from error


def decode_files(paths: Sequence[str], square: Square) -> np.ndarray:
    """Decodes image files in parallel.

    Args:
        paths: the files.
        square: the rule that makes images square.

    Returns:
        uint8 `[files, side, side, 3]`, in the order of `paths`.

    Raises:
        DataError: if a file cannot be read or decoded; the message names the file.
    """
    images = np.empty((len(paths), square.side, square.side, 3), np.uint8)
    encoded = tf.data.Dataset.from_tensor_slices(list(paths)).map(tf.io.read_file)
    try:
        fill_images(images, encoded, square, lambda position: paths[position])
    except tf.errors.OpError as error:
        # The file could not be read at all; TensorFlow's message starts with its name.
        raise DataError(f"Cannot read an image file: {error.message.splitlines()[0]}") from error
    return images


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
        return decode_files(self.paths[positions], self.square)


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
