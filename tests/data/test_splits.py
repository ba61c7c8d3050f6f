"""Splits and the stratified cut."""

import numpy as np
import pytest

from tailor_tf.data.errors import DataError
from tailor_tf.data.splits import Split, cut_splits

CLASSES = ("a", "b", "c")
FRACTIONS = {"validation": 0.15, "test": 0.2}


def numbered_split(*class_sizes: int) -> Split:
    """A split of 1x1 images whose pixels are their positions, classes interleaved."""
    labels = np.repeat(np.arange(len(class_sizes), dtype=np.int32), class_sizes)
    labels = np.random.default_rng(1).permutation(labels)
    pixels = np.arange(len(labels), dtype=np.uint8)
    return Split("train", labels, np.tile(pixels[:, None, None, None], (1, 1, 1, 3)))


def positions(split: Split) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


def test_counts_per_class():
    cut = cut_splits(numbered_split(20, 40, 3), FRACTIONS, classes=CLASSES, seed=0)
    counts = {name: np.bincount(split.labels).tolist() for name, split in cut.items()}
    # round(0.15 * 20), round(0.15 * 40), at least one; likewise with 0.2.
    assert counts == {
        "train": [20 - 3 - 4, 40 - 6 - 8, 3 - 1 - 1],
        "validation": [3, 6, 1],
        "test": [4, 8, 1],
    }


def test_cut_is_a_partition_in_the_old_order():
    whole = numbered_split(20, 40, 3)
    cut = cut_splits(whole, FRACTIONS, classes=CLASSES, seed=0)
    everything = [position for split in cut.values() for position in positions(split)]
    assert sorted(everything) == list(range(20 + 40 + 3))
    for split in cut.values():
        assert positions(split) == sorted(positions(split))
        np.testing.assert_array_equal(split.labels, whole.labels[positions(split)])


def test_cut_follows_the_seed():
    cuts = [
        positions(cut_splits(numbered_split(20, 40), FRACTIONS, classes=CLASSES, seed=seed)["test"])
        for seed in (0, 0, 1)
    ]
    assert cuts[0] == cuts[1] != cuts[2]


def test_large_fractions_leave_an_image_for_everyone():
    fractions = {"validation": 0.6, "test": 0.35}
    cut = cut_splits(numbered_split(3, 4), fractions, classes=CLASSES[:2], seed=0)
    assert all(np.bincount(split.labels).min() >= 1 for split in cut.values())


def test_unused_class_is_left_alone():
    cut = cut_splits(numbered_split(5, 0, 5), FRACTIONS, classes=CLASSES, seed=0)
    assert set(cut["train"].labels) == {0, 2}


@pytest.mark.parametrize(
    ("size", "fractions", "needed"), [(1, {"test": 0.2}, 2), (2, FRACTIONS, 3)]
)
def test_class_too_small_to_cut(size: int, fractions: dict[str, float], needed: int):
    with pytest.raises(DataError, match=rf"'b' has {size} training .* at least {needed}"):
        cut_splits(numbered_split(9, size), fractions, classes=CLASSES[:2], seed=0)


def test_nothing_to_cut():
    whole = numbered_split(1, 1)
    assert cut_splits(whole, {}, classes=CLASSES[:2], seed=0) == {"train": whole}


def test_empty_split():
    with pytest.raises(DataError, match="'test' is empty; expected at least one image"):
        numbered_split(2).select(np.zeros(0, int), "test")


def test_labels_and_images_of_different_number():
    with pytest.raises(DataError, match="1 images and 2 labels"):
        Split("train", np.zeros(2, np.int32), np.zeros((1, 8, 8, 3), np.uint8))
