"""Loading a task by its name, and the registry of sources of images."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tailor_tf.data import digits, folder, tfds_source
from tailor_tf.data.errors import DataError
from tailor_tf.data.fingerprint import Fingerprint
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.source import Reading, Source
from tailor_tf.data.splits import Split, check_fractions, cut_splits
from tailor_tf.data.square import FITS
from tailor_tf.data.statistics import channel_statistics
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.support import names

SOURCES: Mapping[str, Source] = {
    "digits": digits.SOURCE,
    "folder": folder.SOURCE,
    "tfds": tfds_source.SOURCE,
}

# Augmentation of photographs, for networks of this size and images that may be mirrored. Half of
# the area: fine-tuning is short, and smaller windows show objects larger than evaluation, which
# sees whole images.
_PHOTOGRAPHS_SIZE = 96  # pixels
_CROP_SCALE, _JITTER = 0.5, 0.2


def load_task(
    spec: str,
    *,
    image_size: int,
    data_dir: str | None = None,
    validation_fraction: float = 0.15,
    test_fraction: float = 0.2,
    seed: int = 0,
    skip_broken: bool = False,
    flip: bool | None = None,
    crop_padding: int | None = None,
    resize: int | None = None,
    fit: str = FITS[0],
    crop_scale: float | None = None,
    jitter: float | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    name: str | None = None,
    looked_at: Mapping[str, Fingerprint] | None = None,
) -> Task:
    """Loads a task; validation and test splits that are missing are cut out of the training images.

    A missing split is cut at random inside each class. Images of another size are made square by
    the rule `fit`. Photographs, for the defaults of the augmentation, are the images of a task that
    training mirrors, for a network of 96 pixels or more.

    Args:
        spec: `digits`, `folder:PATH`, `tfds:NAME` or `tfds:NAME/CONFIG`.
        image_size: side of the network's square input in pixels.
        data_dir: folder of TensorFlow Datasets' data sets; its own default if None.
        validation_fraction: fraction of the source's training images that becomes the validation
            split if the source has none.
        test_fraction: likewise for the test split; 0 for a task without test split.
        seed: chooses the images of the splits that are cut; 0 or more.
        skip_broken: whether to leave out images that cannot be decoded.
        flip: whether training mirrors images left to right; None: yes, except for characters and
            signs.
        crop_padding: padding of the random crop in training, pixels; None: an eighth of
            `image_size`, or 0 if `resize` is larger than `image_size` or if `crop_scale` is below
            1.
        resize: side in pixels to which images are scaled before a window of `image_size` is cut
            out of them; None: `image_size`.
        fit: way to fit an image into a square, one of `square.FITS`.
        crop_scale: smallest part of an image's area that training cuts out and scales to
            `image_size`; 1 for windows that are not scaled; None: 0.5 for photographs if
            `crop_padding` is not above 0, otherwise 1.
        jitter: largest change of brightness, contrast and saturation in training, as a part of
            each; None: 0.2 for photographs, otherwise 0.
        mean: mean of red, green and blue in images scaled to 0..1; None: measured on the training
            images.
        std: standard deviation of red, green and blue, likewise.
        name: the task's name, see `names.checked`; None: the name of the folder or data set.
        looked_at: fingerprints of splits, by name, in which no image is broken as an earlier
            program found; images that are not kept in memory are then not decoded to find out.

    Returns:
        The task.

    Raises:
        DataError: if the spec, the data or an argument cannot be used; the message says what was
            received, what was expected and what to do.
        names.TaskNameError: if the name cannot be the name of a task.
    """
    source, rest = _find_source(spec)
    side = resize or image_size
    flip = source.mirrors(rest) if flip is None else flip
    preprocessing = Preprocessing(
        image_size,
        tuple(mean or (0.0, 0.0, 0.0)),  # replaced below, once there are images to measure
        tuple(std or (1.0, 1.0, 1.0)),
        flip=flip,
        resize=side,
        fit=fit,
        **_augmentation(image_size, side, flip, crop_padding, crop_scale, jitter),
    )
    task = load_prepared(
        spec,
        preprocessing,
        data_dir=data_dir,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        name=name,
        skip_broken=skip_broken,
        looked_at=looked_at,
    )
    if mean is None or std is None:
        found_mean, found_std = channel_statistics(task.train.images)
        preprocessing = dataclasses.replace(
            preprocessing,
            mean=tuple(mean or found_mean.tolist()),
            std=tuple(std or found_std.tolist()),
        )
        info = dataclasses.replace(task.info, preprocessing=preprocessing)
        task = dataclasses.replace(task, info=info)
    return task


def _augmentation(
    image_size: int,
    side: int,
    flip: bool,
    crop_padding: int | None,
    crop_scale: float | None,
    jitter: float | None,
) -> dict[str, Any]:
    """Fields of the preprocessing, with defaults for those that are None; see `load_task`."""
    are_photographs = flip and image_size >= _PHOTOGRAPHS_SIZE
    if crop_scale is None:
        crop_scale = _CROP_SCALE if are_photographs and not crop_padding else 1.0
    if crop_padding is None:
        crop_padding = 0 if side > image_size or crop_scale < 1 else image_size // 8
    if jitter is None:
        jitter = _JITTER if are_photographs else 0.0
    return {"crop_padding": crop_padding, "crop_scale": crop_scale, "jitter": jitter}


def load_prepared(
    spec: str,
    preprocessing: Preprocessing,
    *,
    data_dir: str | None = None,
    validation_fraction: float = 0.15,
    test_fraction: float = 0.2,
    seed: int = 0,
    name: str | None = None,
    skip_broken: bool = False,
    looked_at: Mapping[str, Fingerprint] | None = None,
) -> Task:
    """Loads a task whose preprocessing is known, such as that of a network that exists.

    Args:
        spec: as in `load_task`, like all other arguments.
        preprocessing: the preprocessing.

    Raises:
        DataError: if the spec, the data or an argument cannot be used.
        names.TaskNameError: if the name cannot be the name of a task.
    """
    if seed < 0:
        raise DataError(f"seed is {seed}; expected 0 or more.")
    source, rest = _find_source(spec)
    name = names.checked(source.name(rest) if name is None else name)
    reading = Reading(preprocessing.square, data_dir, skip_broken, looked_at or {})
    classes, found = source.load(rest, reading)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    splits = _complete(classes, found, fractions, seed)
    kind = spec.partition(":")[0]
    info = TaskInfo(name, classes, preprocessing, source=_digest(f"{kind}:{source.place(rest)}"))
    return Task(info, splits["train"], splits["validation"], splits.get("test"))


def _digest(text: str) -> str:
    """The first 16 digits of the SHA-256 of a text, which may hold bytes that are no UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _find_source(spec: str) -> tuple[Source, str]:
    """The source of a task's name, and the text after the colon."""
    kind, colon, rest = spec.partition(":")
    source = SOURCES.get(kind)
    if source is None or bool(rest) != source.has_rest or bool(colon) != source.has_rest:
        known = ", ".join(source.usage for source in SOURCES.values())
        raise DataError(f"Unknown task {spec!r}; expected one of {known}.")
    return source, rest


def _complete(
    classes: tuple[str, ...],
    found: Mapping[str, Split | None],
    fractions: dict[str, float],
    seed: int,
) -> dict[str, Split | None]:
    """Adds the splits that the source does not have; a split that is None stays None."""
    missing = {name: fraction for name, fraction in fractions.items() if name not in found}
    check_fractions(missing)
    to_cut = {name: fraction for name, fraction in missing.items() if fraction}
    return {**found, **cut_splits(found["train"], to_cut, classes=classes, seed=seed)}
