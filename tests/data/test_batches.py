"""Batches: reproducible, independent of their size, and augmented as described."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from tailor_tf.data import folder as folder_module
from tailor_tf.data.batches import data_error, evaluation_batches, training_batches
from tailor_tf.data.errors import DataError
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.sources import load_task
from tailor_tf.data.splits import Split

PLAIN = Preprocessing(8, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), flip=False, crop_padding=0)
AUGMENTED = dataclasses.replace(PLAIN, flip=True, crop_padding=2)


def random_split(count: int) -> Split:
    """Random images, labelled with their positions."""
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Split("train", np.arange(count, dtype=np.int32), images)


def collect(batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def train(split: Split, preprocessing: Preprocessing = AUGMENTED, **options):
    options = {"batch_size": 5, "seed": 0, "epoch": 0, "drop_remainder": False} | options
    return collect(training_batches(split, preprocessing, **options))


def normalised(images: np.ndarray) -> np.ndarray:
    return (images / 255 - np.array(PLAIN.mean)) / np.array(PLAIN.std)


def test_evaluation_keeps_order_and_last_batch():
    split = random_split(12)
    batches = evaluation_batches(split, AUGMENTED, batch_size=5)
    assert [len(labels) for _, labels in batches] == [5, 5, 2]
    images, labels = collect(batches)
    np.testing.assert_array_equal(labels, split.labels)
    np.testing.assert_allclose(images, normalised(split.images), atol=1e-5)


def test_types_and_shapes_are_known_ahead():
    images, labels = training_batches(
        random_split(12), AUGMENTED, batch_size=5, seed=0, epoch=0
    ).element_spec
    assert (images.shape, images.dtype) == ((5, 8, 8, 3), tf.float32)
    assert (labels.shape, labels.dtype) == ((5,), tf.int32)


def test_training_sees_every_example_once():
    split = random_split(23)
    images, labels = train(split, PLAIN)
    assert labels.tolist() != sorted(labels.tolist())
    assert sorted(labels.tolist()) == list(range(23))
    np.testing.assert_allclose(images, normalised(split.images)[labels], atol=1e-5)


def test_remainder_can_be_dropped():
    assert len(train(random_split(23), drop_remainder=True)[1]) == 20


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_examples_do_not_depend_on_the_batch_size(batch_size: int):
    split = random_split(23)
    for found, expected in zip(train(split, batch_size=batch_size), train(split), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_seed_and_epoch_repeat():
    first, again = (train(random_split(23), seed=3, epoch=4) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}])
def test_seed_and_epoch_change_order_and_augmentation(change: dict):
    split = random_split(64)
    (images, labels), (other_images, other_labels) = train(split), train(split, **change)
    assert labels.tolist() != other_labels.tolist()
    assert not np.array_equal(images[np.argsort(labels)], other_images[np.argsort(other_labels)])


def test_training_images_are_windows_of_the_padded_image():
    split = random_split(200)
    images, labels = train(split)
    padded = np.pad(normalised(split.images), [(0, 0), (2, 2), (2, 2), (0, 0)])
    places = []
    for image, label in zip(images, labels, strict=True):
        matches = [
            (top, left, mirrored)
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
            if np.allclose(
                image[:, ::-1] if mirrored else image,
                padded[label, top : top + 8, left : left + 8],
                atol=1e-5,
            )
        ]
        assert len(matches) == 1
        places += matches
    # 200 draws of 25 places and of two directions: every one of them occurs.
    assert len({(top, left) for top, left, _ in places}) == 5 * 5
    assert 60 < sum(mirrored for *_, mirrored in places) < 140


def test_windows_of_a_larger_square():
    """With `resize` above `image_size` training takes any window, evaluation the central one."""
    split = random_split(200)
    cropping = dataclasses.replace(PLAIN, image_size=5)
    pixels = normalised(split.images)
    images, labels = train(split, cropping)
    assert images.shape == (200, 5, 5, 3)
    corners = [
        (top, left)
        for image, label in zip(images, labels, strict=True)
        for top in range(4)
        for left in range(4)
        if np.allclose(image, pixels[label, top : top + 5, left : left + 5], atol=1e-5)
    ]
    assert len(corners) == 200
    assert len(set(corners)) == 4 * 4
    images, _ = collect(evaluation_batches(split, cropping, batch_size=200))
    np.testing.assert_allclose(images, pixels[:, 1:6, 1:6], atol=1e-5)


def test_flips_are_exact_mirror_images():
    split = random_split(40)
    images, labels = train(split, dataclasses.replace(PLAIN, flip=True))
    plain, _ = collect(evaluation_batches(split, PLAIN, batch_size=40))
    kept = [np.array_equal(a, b) for a, b in zip(images, plain[labels], strict=True)]
    mirrored = [np.array_equal(a[:, ::-1], b) for a, b in zip(images, plain[labels], strict=True)]
    assert np.logical_xor(kept, mirrored).all()
    assert any(kept) and any(mirrored)


def test_images_left_in_their_files_give_the_same_batches(make_folder, monkeypatch):
    folder = make_folder({"train/a": 9, "train/b": 9, "test/a": 2, "test/b": 2}, suffix="jpg")
    loaded = load_task(f"folder:{folder}", image_size=8)
    monkeypatch.setattr(folder_module, "MEMORY_BUDGET", 0)
    lazy = load_task(f"folder:{folder}", image_size=8)
    assert lazy.preprocessing == loaded.preprocessing
    assert not isinstance(lazy.train.images, np.ndarray)
    for name in ("train", "validation", "test"):
        found, expected = (train(getattr(task, name), PLAIN) for task in (lazy, loaded))
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_broken_file_of_a_lazy_split_is_named(make_folder, monkeypatch):
    monkeypatch.setattr(folder_module, "MEMORY_BUDGET", 0)
    folder = make_folder({"train/a": 4, "train/b": 4, "test/a": 2, "test/b": 2})
    task = load_task(f"folder:{folder}", image_size=8)
    (folder / "test/b/001.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        collect(evaluation_batches(task.test, task.preprocessing, batch_size=3))
    found = data_error(error.value)
    assert re.fullmatch(
        r"Cannot decode .*test/b/001\.png: .* Repair or remove it, .*--skip_broken\.", str(found)
    )
    assert data_error(tf.errors.InvalidArgumentError(None, None, "another reason")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; expected 1 or more"),
        ({"batch_size": 24, "drop_remainder": True}, "23 examples, too few for one batch of 24"),
        ({"seed": -1}, "seed is -1 and epoch is 0; expected 0 or more"),
    ],
)
def test_bad_arguments(options: dict, message: str):
    with pytest.raises(DataError, match=message):
        train(random_split(23), **options)


def test_images_of_another_size():
    with pytest.raises(DataError, match=r"\(8, 8, 3\); .* Load the task with resize=16"):
        train(random_split(5), dataclasses.replace(PLAIN, image_size=16, resize=16))
