"""Batches of a split: a pure function of the split, the preprocessing, the seed and the epoch.

The random numbers of an epoch are drawn before any batch is made (`augmentation`). The augmentation
of an example therefore does not depend on the batch size, and an interrupted run continues with the
same batches as without the interruption.
"""

import dataclasses
import os
from typing import Any

import numpy as np
import tensorflow as tf

from tailor_tf.data.augmentation import augmented, draw
from tailor_tf.data.decoding import refusal
from tailor_tf.data.errors import DataError
from tailor_tf.data.formats.format import after, refuse_unless
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split

_PARALLEL_BATCHES = min(os.cpu_count() or 1, 8)  # batches prepared at the same time
_UNREADABLE = "Unreadable image. "  # before the message of an error
_READY_BATCHES = 4  # finished batches that wait for the training step


@dataclasses.dataclass(frozen=True)
class Share:
    """Part of each batch that a process reads: one slice for each of its replicas.

    Attributes:
        replicas: number of slices of equal size in a batch.
        first: index of the first slice that this process reads.
        own: number of consecutive slices that this process reads.
    """

    replicas: int = 1
    first: int = 0
    own: int = 1


WHOLE = Share()


def training_batches(
    split: Split,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    skip: int = 0,
    share: Share = WHOLE,
    drop_remainder: bool = True,
) -> tf.data.Dataset:
    """Shuffled and augmented batches of one epoch.

    Each image is normalised, padded with zeros by `crop_padding` pixels per side, cut to
    `image_size` at a random place and, where `flip` is set, mirrored left to right with probability
    1/2. With a `crop_scale` below 1, a window of random size and proportions is cut out instead and
    scaled to `image_size`. `jitter` changes the colours before they are normalised.

    Args:
        split: the examples; each is seen at most once.
        preprocessing: normalisation and augmentation.
        batch_size: examples per batch.
        seed: chooses order and augmentation, together with `epoch`; 0 or more.
        epoch: index of the epoch, 0 or more.
        skip: number of batches to leave out at the start of the epoch.
        share: the slices of each batch to return, each as a batch of its own. With several
            replicas, a last batch that is not full is always left out.
        drop_remainder: whether to leave out the last batch if it is not full.

    Returns:
        Data set of images float32 `[batch, image_size, image_size, 3]` and labels int32 `[batch]`.
        An image that cannot be decoded raises a `tf.errors.OpError`, see `data_error`.

    Raises:
        DataError: if the images have another size than the preprocessing, if the batch size is
            not positive or not divisible by the replicas, if the seed or the epoch is negative, or
            if no full batch exists and `drop_remainder` is set.
    """
    _check(split, preprocessing, batch_size)
    if drop_remainder and len(split) < batch_size:
        raise DataError(
            f"Split {split.name!r} has {len(split)} examples, too few for one batch of"
            f" {batch_size}. Choose a smaller batch size, or keep the last partial batch."
        )
    if batch_size % share.replicas:
        raise DataError(
            f"batch_size is {batch_size} and there are {share.replicas} replicas; expected a"
            " multiple of the number of replicas. The batch size counts the examples of all"
            " replicas together."
        )
    if seed < 0 or epoch < 0:
        raise DataError(f"seed is {seed} and epoch is {epoch}; expected 0 or more for both.")
    order, drawn = draw(preprocessing, len(split), seed=seed, epoch=epoch)
    order = order[skip * batch_size :]
    if share.replicas > 1:
        full = order[: len(order) // batch_size * batch_size]
        slices = full.reshape(-1, share.replicas, batch_size // share.replicas)
        order = slices[:, share.first : share.first + share.own].reshape(-1)
        batch_size //= share.replicas
    drawn = {name: values[order] for name, values in drawn.items()}
    return _batches(split, preprocessing, batch_size, order, drawn, drop_remainder)


def evaluation_batches(
    split: Split, preprocessing: Preprocessing, *, batch_size: int
) -> tf.data.Dataset:
    """Batches for evaluation: normalised central windows in the order of the split.

    Args:
        split: the examples; each is seen once.
        preprocessing: the normalisation; its augmentation is not used.
        batch_size: examples per batch; the last one may have fewer.

    Returns:
        Data set of images float32 `[batch, image_size, image_size, 3]` and labels int32 `[batch]`.
        An image that cannot be decoded raises a `tf.errors.OpError`, see `data_error`.

    Raises:
        DataError: if the images have another size than the preprocessing or the batch size is not
            positive.
    """
    _check(split, preprocessing, batch_size)
    return _batches(split, preprocessing, batch_size, np.arange(len(split)), {}, False)


def _check(split: Split, preprocessing: Preprocessing, batch_size: int) -> None:
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}; expected 1 or more.")
    side = preprocessing.resize
    found = split.image_shape
    if found != (side, side, 3):
        raise DataError(
            f"Split {split.name!r} holds images of shape {found}; the preprocessing expects"
            f" {(side, side, 3)}. Load the task with resize={side}."
        )


def _batches(
    split: Split,
    preprocessing: Preprocessing,
    batch_size: int,
    order: np.ndarray,
    drawn: dict[str, np.ndarray],
    drop_remainder: bool,
) -> tf.data.Dataset:
    """Batches of the examples at `order`, augmented with the random numbers `drawn` if any."""

    def prepare(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images = _read(split, example["position"])
        own = {name: example[name] for name in drawn}
        if own:
            images = augmented(images, preprocessing, **own)
        else:
            images = evaluation_input(images, preprocessing)
        return images, example["label"]

    examples = {"position": order, "label": split.labels[order], **drawn}
    dataset = tf.data.Dataset.from_tensor_slices(examples)
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    dataset = dataset.map(prepare, _PARALLEL_BATCHES, deterministic=True).prefetch(_READY_BATCHES)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of an epoch by up to two seconds
    return dataset.with_options(options)


def data_error(error: tf.errors.OpError) -> DataError | None:
    """The error about an image that ended a data set; `None` if the reason is another one."""
    said = refusal(error.message)
    return DataError(said.removeprefix(_UNREADABLE)) if said.startswith(_UNREADABLE) else None


def _read(split: Split, positions: tf.Tensor) -> tf.Tensor:
    """Reads uint8 images `[batch, height, width, 3]` from memory or from files."""

    def read(chosen: np.ndarray) -> tuple[np.ndarray, bytes]:
        try:
            return split.images[chosen], b""
        except DataError as error:  # raised here, it would be printed with a stack trace
            return np.zeros(0, np.uint8), str(error).encode(errors="backslashreplace")

    images, problem = tf.numpy_function(read, [positions], [tf.uint8, tf.string], stateful=False)
    images = after(refuse_unless(problem == b"", _UNREADABLE, problem), images)
    return tf.ensure_shape(images, [*positions.shape, *split.image_shape])


def central_window(images: Any, side: int) -> Any:
    """Cuts the central `side` x `side` pixels out of square images `[batch, height, width, 3]`.

    Returns:
        Images `[batch, side, side, 3]`: a tensor for a tensor, a NumPy array for a NumPy array.
    """
    start = (images.shape[1] - side) // 2
    return images[:, start : start + side, start : start + side]


def evaluation_input(images: Any, preprocessing: Preprocessing) -> tf.Tensor:
    """Input of a network in evaluation, from uint8 images `[batch, resize, resize, 3]`.

    Returns:
        The central windows, normalised: float32 `[batch, image_size, image_size, 3]`.
    """
    return preprocessing.normalise(central_window(images, preprocessing.image_size))
