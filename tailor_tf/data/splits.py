"""Splits of a task, and cutting the missing ones out of the training images."""

import dataclasses
import json
from typing import Any

import numpy as np

from tailor_tf.data.errors import DataError
from tailor_tf.data.images import Images, select_images
from tailor_tf.data.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The labelled images of one part of a task.

    Attributes:
        name: `"train"`, `"validation"` or `"test"`.
        labels: int32 `[examples]`, positions in the task's classes.
        images: indexed with an array of positions, gives uint8 `[positions, height, width, 3]`. A
            NumPy array where the images fit in memory; decoded when asked for otherwise.
    """

    name: str
    labels: np.ndarray
    images: Images

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.images):
            raise DataError(
                f"Split {self.name!r} has {len(self.images)} images and {len(self.labels)} labels;"
                " expected one label per image."
            )
        if not len(self.labels):
            raise DataError(
                f"Split {self.name!r} is empty; expected at least one image. Add images, or remove"
                " the split so that it is cut out of the training images."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the decoded images."""
        return self.images.shape[1:]

    def select(self, positions: np.ndarray, name: str) -> "Split":
        """Returns the examples at `positions` (int `[chosen]`) as a split called `name`."""
        return Split(name, self.labels[positions], select_images(self.images, positions))


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """An image-classification task, ready for training.

    Attributes:
        name: short name that can serve as a file name.
        classes: class names; a label is a position in them.
        train: the images to learn from.
        validation: the images to choose by.
        test: the images to report on; None where their labels are withheld or none were asked for.
        preprocessing: how images become the input of a network.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split | None
    preprocessing: Preprocessing

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def image_counts(self) -> dict[str, int]:
        """Images of each split there is."""
        splits = (self.train, self.validation, self.test)
        return {split.name: len(split) for split in splits if split is not None}

    def settings(self) -> dict[str, Any]:
        """What the result of a training on this task depends on, JSON-able."""
        return {
            "task": self.name,
            "classes": list(self.classes),
            "images": self.image_counts,
            "preprocessing": json.loads(self.preprocessing.to_json()),
        }


def check_fractions(fractions: dict[str, float]) -> None:
    """Checks the fractions of the splits that may be cut.

    Args:
        fractions: name of the split to its fraction of the training images.

    Raises:
        DataError: if a fraction is outside 0..1, the validation fraction is 0 or nothing would be
            left for training.
    """
    for name, fraction in fractions.items():
        lowest_allowed = name == "test"
        if not 0 <= fraction < 1 or (fraction == 0 and not lowest_allowed):
            raise DataError(
                f"{name}_fraction is {fraction}; expected a number"
                f" {'from' if lowest_allowed else 'above'} 0 and below 1."
            )
    if sum(fractions.values()) >= 1:
        raise DataError(
            f"validation_fraction and test_fraction add up to {sum(fractions.values()):g}; expected"
            " less than 1, so that images for training are left."
        )


def cut_splits(
    train: Split, fractions: dict[str, float], *, classes: tuple[str, ...], seed: int
) -> dict[str, Split]:
    """Cuts splits out of the training images, at random inside each class.

    Of a class with `n` images, a split of fraction `f` receives `round(f n)`, at least one. The
    choice depends on the seed and the class alone. Classes without any image are left alone: some
    data sets declare more classes than they use.

    Args:
        train: the images to cut from.
        fractions: name of the split to its fraction of `train`; where empty, nothing is cut.
        classes: class names.
        seed: chooses the images.

    Returns:
        The cut splits by name, and under `"train"` what is left, each in the order of `train`.

    Raises:
        DataError: if a class has fewer images than there are splits; names the class.
    """
    if not fractions:
        return {"train": train}
    chosen: dict[str, list[np.ndarray]] = {"train": [], **{name: [] for name in fractions}}
    for label, class_name in enumerate(classes):
        members = np.flatnonzero(train.labels == label)
        if not len(members):
            continue
        _check_class_size(class_name, len(members), fractions)
        members = np.random.default_rng([seed, label]).permutation(members)
        counts = _cut_counts(len(members), fractions)
        *cut, rest = np.split(members, np.cumsum(counts))
        for name, part in zip([*fractions, "train"], [*cut, rest], strict=True):
            chosen[name].append(part)
    return {
        name: train.select(np.sort(np.concatenate(parts)), name) for name, parts in chosen.items()
    }


def _check_class_size(class_name: str, count: int, fractions: dict[str, float]) -> None:
    needed = len(fractions) + 1
    if count < needed:
        raise DataError(
            f"Class {class_name!r} has {count} training image(s); expected at least {needed}, one"
            f" for train and one for each split cut out of it ({', '.join(fractions)}). Add images"
            " to the class, remove it, or provide these splits."
        )


def _cut_counts(count: int, fractions: dict[str, float]) -> list[int]:
    """Images per cut split; always leaves one for each later split and one for training."""
    counts: list[int] = []
    for later, fraction in zip(reversed(range(len(fractions))), fractions.values(), strict=True):
        most = count - sum(counts) - later - 1
        counts.append(min(max(round(fraction * count), 1), most))
    return counts
