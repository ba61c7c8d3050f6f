"""Splits of a task, and cutting missing splits out of the training images."""

import dataclasses

import numpy as np

from tailor_tf.data.errors import DataError
from tailor_tf.data.fingerprint import Fingerprint
from tailor_tf.data.images import Images, select_images


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The labelled images of one part of a task.

    Attributes:
        name: `"train"`, `"validation"` or `"test"`.
        labels: int32 `[examples]`, positions in the task's classes.
        images: uint8 `[examples, height, width, 3]`, indexed with an array of positions. A NumPy
            array if the images fit in memory; otherwise images are decoded when they are read.
        fingerprint: letters for each class that change with its images, see `fingerprint`; empty if
            they are not known.

    Raises:
        DataError: the split is empty, or images and labels differ in number.
    """

    name: str
    labels: np.ndarray
    images: Images
    fingerprint: Fingerprint = dataclasses.field(default_factory=dict)

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
        """Returns the examples at `positions`, int `[chosen]`, as a split with the name `name`.

        The fingerprint stays with the split of the same name: it is that of all images from which
        splits were cut.
        """
        images = select_images(self.images, positions)
        own = self.fingerprint if name == self.name else {}
        return Split(name, self.labels[positions], images, own)


def check_fractions(fractions: dict[str, float]) -> None:
    """Checks the fractions of the splits that may be cut out of the training images.

    Args:
        fractions: the fraction of the training images for each split, by the split's name.

    Raises:
        DataError: if a fraction is outside 0..1, if the validation fraction is 0, or if no image
            would be left for training.
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

    From a class with `n` images, a split with fraction `f` receives `round(f n)` images, at least
    one. The choice depends only on the seed and the class. Classes without images are skipped:
    some data sets declare more classes than they use.

    Args:
        train: the images to cut from.
        fractions: fraction of `train` for each split, by the split's name; nothing is cut if empty.
        classes: class names.
        seed: chooses the images.

    Returns:
        The cut splits by name, and the remaining images as `"train"`, each in the order of `train`.

    Raises:
        DataError: if a class has fewer images than there are splits; the message names the class.
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
    """Number of images for each cut split; at least one remains for each later split and train."""
    counts: list[int] = []
    for later, fraction in zip(reversed(range(len(fractions))), fractions.values(), strict=True):
        most = count - sum(counts) - later - 1
        counts.append(min(max(round(fraction * count), 1), most))
    return counts
