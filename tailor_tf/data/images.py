"""Decoding and storing images: one decoder, one resizing rule, three classes that hold images.

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

from tailor_tf.data.errors import DataError

MEMORY_BUDGET = 2 * 1024**3
"""Most bytes that the decoded images of all splits of a task together may take in memory."""

_DECODING_BATCH = 256


def image_bytes(count: int, image_size: int) -> int:
    """Returns the bytes that `count` decoded RGB images of side `image_size` pixels take."""
    return count * image_size * image_size * 3


def decode_image(contents: tf.Tensor, image_size: int) -> tf.Tensor:
    """Decodes one encoded image and makes it square.

    JPEG files are decoded with the accurate integer DCT, so that the pixels are the same as from
    Pillow and other programs with libjpeg's default; TensorFlow's default is faster and less
    accurate. Of an animation, the first frame is taken. Rotation tags of cameras are ignored.

    Args:
        contents: string scalar, a JPEG, PNG, BMP, GIF or WebP file.
        image_size: side of the result in pixels; see `resize_and_crop` for the rule.

    Returns:
        uint8 `[image_size, image_size, 3]`, RGB.
    """
    image = tf.cond(
        tf.io.is_jpeg(contents),
        lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    return resize_and_crop(image, image_size)


def resize_and_crop(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """Scales the shorter side to `image_size` and cuts out the centre.

    Scaling is bilinear with antialiasing; the result is rounded to whole levels. An image that
    already has `image_size` x `image_size` pixels is returned unchanged.

    Args:
        image: uint8 `[height, width, 3]`, or `[batch, height, width, 3]`.
        image_size: side of the result in pixels.

    Returns:
        uint8 `[image_size, image_size, 3]`, or a batch of them.
    """
    fits = tf.reduce_all(tf.equal(tf.shape(image)[-3:-1], image_size))
    square = tf.cond(fits, lambda: image, lambda: _scaled_centre(image, image_size))
    return tf.ensure_shape(square, [*image.shape[:-3], image_size, image_size, 3])


def _scaled_centre(image: tf.Tensor, image_size: int) -> tf.Tensor:
    sides = tf.cast(tf.shape(image)[-3:-1], tf.float32)
    scale = image_size / tf.reduce_min(sides)
    target = tf.maximum(tf.cast(tf.round(sides * scale), tf.int32), image_size)
    scaled = tf.image.resize(image, target, method="bilinear", antialias=True)
    levels = tf.cast(tf.clip_by_value(tf.round(scaled), 0.0, 255.0), tf.uint8)
    top, left = tf.unstack((target - image_size) // 2)
    return levels[..., top : top + image_size, left : left + image_size, :]


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
    images: np.ndarray, encoded: tf.data.Dataset, describe: Callable[[int], str]
) -> None:
    """Decodes a data set of encoded images into an array, in parallel and in order.

    Args:
        images: uint8 `[examples, image_size, image_size, 3]`, overwritten.
        encoded: data set of `examples` string scalars, each an encoded image.
        describe: from the position of an example to its name in error messages.

    Raises:
        DataError: if an image cannot be decoded; the message names the image.
    """
    size = images.shape[1]
    decoded = encoded.map(lambda contents: decode_image(contents, size), tf.data.AUTOTUNE)
    done = 0
    try:
        for batch in decoded.batch(_DECODING_BATCH).prefetch(2):
            images[done : done + len(batch)] = batch.numpy()
            done += len(batch)
    except tf.errors.OpError:
        _name_broken_image(encoded.skip(done), size, lambda position: describe(done + position))
        raise


def _name_broken_image(
    encoded: tf.data.Dataset, image_size: int, describe: Callable[[int], str]
) -> None:
    """Decodes one image after the other to find the one that fails."""
    for position, contents in enumerate(encoded.take(_DECODING_BATCH)):
        try:
            decode_image(contents, image_size)
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0]
            raise DataError(
                f"Cannot decode {describe(position)}: {reason} Expected a whole JPEG, PNG, BMP,"
                " GIF or WebP image. Repair or remove it."
            ) from error


def decode_files(paths: Sequence[str], image_size: int) -> np.ndarray:
    """Decodes image files in parallel.

    Args:
        paths: the files.
        image_size: side of the results in pixels.

    Returns:
        uint8 `[files, image_size, image_size, 3]`, in the order of `paths`.

    Raises:
        DataError: if a file cannot be read or decoded; the message names the file.
    """
    images = np.empty((len(paths), image_size, image_size, 3), np.uint8)
    encoded = tf.data.Dataset.from_tensor_slices(list(paths)).map(tf.io.read_file)
    try:
        fill_images(images, encoded, lambda position: paths[position])
    except tf.errors.OpError as error:
        # The file could not be read at all; TensorFlow's message starts with its name.
        raise DataError(f"Cannot read an image file: {error.message.splitlines()[0]}") from error
    return images


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that stay in their files and are decoded each time they are read.

    Attributes:
        paths: file names, object `[examples]`.
        image_size: side of the decoded images in pixels.
    """

    paths: np.ndarray
    image_size: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Examples, height, width and channels."""
        return len(self.paths), self.image_size, self.image_size, 3

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        return decode_files(self.paths[positions], self.image_size)


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
