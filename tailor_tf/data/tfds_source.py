"""Tasks from TensorFlow Datasets."""

import contextlib
import difflib
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tailor_tf.data import fingerprint
from tailor_tf.data.broken import settle
from tailor_tf.data.errors import DataError
from tailor_tf.data.images import (
    MEMORY_BUDGET,
    Images,
    empty_images,
    fill_images,
    image_bytes,
)
from tailor_tf.data.source import Found, Reading, Source
from tailor_tf.data.splits import Split
from tailor_tf.data.square import Square
from tailor_tf.support import extras

_SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
_WITHHELD = -1
_READY = 256  # encoded images that wait to be decoded

# Data sets of characters and traffic signs, which have another meaning when they are mirrored.
_CHARACTER_NAMES = re.compile(
    r"svhn\w*|[ek]?mnist|omniglot|gtsrb|visual_domain_decathlon/(gtsrb|omniglot|svhn)"
)


def load_tfds(name: str, reading: Reading) -> Found:
    """Reads the splits of a data set, and prepares the data set if necessary.

    Images are decoded by `decoding.decode_content`, because TensorFlow Datasets' decoder of JPEG
    files is less accurate and does not turn them upright. They are decoded at once: into memory if
    all of them fit in `images.MEMORY_BUDGET`, otherwise into a temporary file.

    Args:
        name: `NAME` or `NAME/CONFIG`, optionally with `:VERSION`.
        reading: the rule that makes images square, folder of prepared data sets, and whether to
            leave out images that cannot be decoded.

    Returns:
        The class names, and the splits found, by name; a test split whose labels are withheld is
        None.

    Raises:
        DataError: if the data set is unknown, cannot be prepared, or is not for image
            classification.
        extras.MissingPackageError: if TensorFlow Datasets is not installed.
    """
    builder = _prepared(name, reading.data_dir)
    splits = _find_splits(name, builder.info.splits)
    count = sum(builder.info.splits[split].num_examples for split in splits.values())
    budget = MEMORY_BUDGET if image_bytes(count, reading.square.side) <= MEMORY_BUDGET else 0
    classes = tuple(builder.info.features["label"].names)
    return classes, {
        split: _load_split(builder, source, split, reading, budget)
        for split, source in splits.items()
    }


def _prepared(name: str, data_dir: str | None) -> Any:
    """The builder of a data set for image classification, with its data prepared on disk."""
    builder = _builder(name, data_dir)
    _check_features(name, builder.info.features)
    _prepare(builder, name)
    return builder


def _builder(name: str, data_dir: str | None) -> Any:
    extras.require("tensorflow_datasets", "importlib_resources")
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir and os.path.expanduser(data_dir))
    except tfds.core.DatasetNotFoundError as error:
        raise DataError(
            _unknown_name_message(name, tfds.list_builders(with_community_datasets=False))
        ) from error
    except (ValueError, AssertionError, ImportError) as error:
        raise DataError(
            f"TensorFlow Datasets cannot use {name!r}; expected NAME, NAME/CONFIG or NAME:VERSION."
            f" It says: {error}"
        ) from error


def _prepare(builder: Any, name: str) -> None:
    try:
        builder.download_and_prepare()
    except Exception as error:
        # Hundreds of different downloaders run behind this call and raise errors of any class.
        raise DataError(
            f"Data set {name!r} is not prepared in {builder.data_dir} and could not be prepared"
            f" now ({type(error).__name__}: {error}). Expected a prepared data set, or an internet"
            " connection and the packages that its download needs. On a machine that has both, run"
            f" 'tfds build {name} --data_dir={builder.data_dir_root}', and copy the folder if it is"
            " another machine."
        ) from error


def _unknown_name_message(name: str, known: list[str]) -> str:
    base = name.partition("/")[0].partition(":")[0]
    close = difflib.get_close_matches(base, known, n=5, cutoff=0.5)
    hint = f"Close names: {', '.join(close)}." if close else "No known name is close."
    return (
        f"TensorFlow Datasets has no data set {base!r}; expected one of its {len(known)} names, or"
        f" one prepared in data_dir. {hint}"
    )


def _check_features(name: str, features: Any) -> None:
    import tensorflow_datasets as tfds

    expected = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    found = {key: type(feature).__name__ for key, feature in features.items()}
    fits = all(key in found and isinstance(features[key], kind) for key, kind in expected.items())
    if not fits or features["image"].dtype != np.uint8:
        raise DataError(
            f"Data set {name!r} has the features {found}; expected 'image' (Image, uint8) and"
            " 'label' (ClassLabel). Choose a data set for image classification."
        )
    if features["label"].num_classes < 2:
        raise DataError(
            f"Data set {name!r} has {features['label'].num_classes} class(es); expected at least"
            " two, because a network cannot learn to distinguish one class. Choose another data"
            " set."
        )


def _find_splits(name: str, available: Any) -> dict[str, str]:
    """Returns the name that the data set itself gives to each of its splits."""
    found = {
        split: source
        for split, sources in _SPLIT_NAMES.items()
        for source in reversed(sources)
        if source in available
    }
    if "train" not in found:
        raise DataError(
            f"Data set {name!r} has the splits {', '.join(sorted(available))}; expected a split"
            " 'train' among them. Choose another data set."
        )
    return found


def load_unlabelled_test(
    name: str, square: Square, data_dir: str | None
) -> tuple[list[str], Images]:
    """Reads the images of a test split whose labels may be withheld.

    Args:
        name: `NAME` or `NAME/CONFIG` of a data set with a feature `name`, such as the data sets of
            the visual domain decathlon.
        square: the rule that makes images square.
        data_dir: folder of prepared data sets; TensorFlow Datasets' default if None.

    Returns:
        The names of the images, and the images, uint8 `[examples, side, side, 3]`.

    Raises:
        DataError: if the data set cannot be used, or has no test split or no names of images.
    """
    builder = _prepared(name, data_dir)
    if "test" not in builder.info.splits or "name" not in builder.info.features:
        raise DataError(
            f"Data set {name!r} has the splits {', '.join(sorted(builder.info.splits))} and the"
            f" features {', '.join(sorted(builder.info.features))}; expected a split 'test' whose"
            " images have a 'name'. Choose a data set of the visual domain decathlon."
        )
    with _reading(builder, "test"):
        dataset = _encoded(builder, "test")
        names = [text.decode() for text in dataset.map(lambda e: e["name"]).as_numpy_iterator()]
        images, _ = _decoded(builder, "test", len(names), square, MEMORY_BUDGET)
        return names, images


def _load_split(
    builder: Any, source: str, split: str, reading: Reading, budget: int
) -> Split | None:
    with _reading(builder, source):
        dataset = _encoded(builder, source)
        labels = _labels(dataset)
        if (labels == _WITHHELD).any():
            return _without_labels(builder.info.full_name, split)
        _check_labels(builder, source, labels)
        images, broken = _decoded(
            builder, source, len(labels), reading.square, budget, reading.skip_broken
        )
        origin = builder.info.full_name
        prints = fingerprint.of_labels(labels, builder.info.features["label"].names, origin)
        found = Split(split, labels, images, prints)
        whole = np.setdiff1d(np.arange(len(labels)), broken)
        return found.select(whole, split) if broken else found


@contextlib.contextmanager
def _reading(builder: Any, source: str) -> Iterator[None]:
    """Context manager: turns TensorFlow's errors on damaged files into a `DataError`."""
    try:
        yield
    except tf.errors.OpError as error:
        raise DataError(
            f"Cannot read split {source!r} of {builder.info.full_name}:"
            f" {error.message.splitlines()[0]} The prepared data set is incomplete or damaged."
            f" Delete {builder.data_dir} and prepare it again."
        ) from error


def _encoded(builder: Any, source: str) -> tf.data.Dataset:
    import tensorflow_datasets as tfds

    # The files are read in order, so that every pass sees the examples in the same order.
    return builder.as_dataset(
        split=source, shuffle_files=False, decoders={"image": tfds.decode.SkipDecoding()}
    )


def _decoded(
    builder: Any, source: str, count: int, square: Square, budget: int, skip_broken: bool = False
) -> tuple[np.ndarray, list[int]]:
    """The images of a split, and positions of those that cannot be decoded and may be left out."""
    images = empty_images(count, square.side, budget)
    dataset = _encoded(builder, source).map(lambda example: example["image"])
    broken = fill_images(images, dataset.prefetch(_READY).as_numpy_iterator(), square)
    place = f"split {source!r} of {builder.info.full_name} in {builder.data_dir}"
    names = {f"image {position} of {place}": reason for position, reason in broken.items()}
    settle(names, count, skip=skip_broken)
    return images, list(broken)


def _check_labels(builder: Any, source: str, labels: np.ndarray) -> None:
    classes = builder.info.features["label"].num_classes
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise DataError(
            f"Image {outside[0]} of split {source!r} of {builder.info.full_name} has the label"
            f" {labels[outside[0]]}; expected 0 to {classes - 1}. Delete {builder.data_dir} and"
            " prepare it again."
        )


def _labels(dataset: tf.data.Dataset) -> np.ndarray:
    batches = dataset.map(lambda example: tf.cast(example["label"], tf.int32)).batch(1024)
    return np.concatenate([np.zeros(0, np.int32), *batches.as_numpy_iterator()])


def _without_labels(name: str, split: str) -> None:
    """Accepts a test split without labels; refuses other splits without labels."""
    if split != "test":
        raise DataError(
            f"Split {split!r} of data set {name!r} has examples without a label (-1); expected a"
            " class for each of them. Choose another data set."
        )
    logging.info("%s withholds the labels of its test split; the task has no test split.", name)


def _is_about_characters(name: str) -> bool:
    whole, collection = name.partition(":")[0], name.partition("/")[0].partition(":")[0]
    return any(_CHARACTER_NAMES.fullmatch(part) for part in (whole, collection))


SOURCE = Source(
    usage="'tfds:NAME' or 'tfds:NAME/CONFIG' (TensorFlow Datasets)",
    load=load_tfds,
    name=lambda rest: re.sub(r"\W+", "_", rest),
    mirrors=lambda rest: not _is_about_characters(rest),
)
