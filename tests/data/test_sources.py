"""Names of tasks, the digits, and arguments."""

import re

import numpy as np
import pytest
from sklearn import datasets

from tailor_tf.data.errors import DataError
from tailor_tf.data.sources import SOURCES, load_prepared, load_task
from tailor_tf.data.square import FITS


def test_digits_have_stratified_splits():
    task = load_task("digits", image_size=8)
    assert (task.name, task.num_classes, task.classes[9]) == ("digits", 10, "9")
    sizes = [np.bincount(split.labels) for split in (task.train, task.validation, task.test)]
    total = sum(sizes)
    assert total.sum() == 1797
    np.testing.assert_allclose(sizes[1], total * 0.15, atol=0.5)
    np.testing.assert_allclose(sizes[2], total * 0.2, atol=0.5)
    assert (task.preprocessing.flip, task.preprocessing.crop_padding) == (False, 1)


def test_digits_keep_their_pixels_at_their_own_size():
    task = load_task("digits", image_size=8)
    expected = np.rint(datasets.load_digits().images * 255 / 16)
    found = {image[..., 0].tobytes() for image in task.train.images}
    assert found <= {image.astype(np.uint8).tobytes() for image in expected}
    assert (task.train.images == task.train.images[..., :1]).all()


def test_digits_repeat_and_grow():
    first, again = (load_task("digits", image_size=32, seed=5) for _ in range(2))
    assert first.train.images.shape[1:] == (32, 32, 3)
    np.testing.assert_array_equal(first.test.images, again.test.images)
    other = load_task("digits", image_size=32, seed=6)
    assert not np.array_equal(first.test.labels, other.test.labels)


def test_preprocessing_follows_the_arguments():
    task = load_task("digits", image_size=16, flip=True, crop_padding=3)
    pixels = task.train.images / 255
    assert (task.preprocessing.flip, task.preprocessing.crop_padding) == (True, 3)
    np.testing.assert_allclose(task.preprocessing.mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(task.preprocessing.std, pixels.std(axis=(0, 1, 2)))


def test_room_for_a_crop_takes_the_place_of_padding():
    given = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    task = load_task("digits", image_size=16, resize=18, **given)
    assert task.train.images.shape[1:] == (18, 18, 3)
    assert (task.preprocessing.margin, task.preprocessing.crop_padding) == (2, 0)
    assert (task.preprocessing.mean, task.preprocessing.std) == tuple(given.values())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"image_size": 96}, (0, 0.5, 0.2)),
        ({"image_size": 95}, (11, 1.0, 0.0)),
        ({"image_size": 96, "flip": False}, (12, 1.0, 0.0)),
        ({"image_size": 96, "resize": 100}, (0, 0.5, 0.2)),
        ({"image_size": 96, "crop_padding": 4}, (4, 1.0, 0.2)),
        ({"image_size": 96, "crop_padding": 0}, (0, 0.5, 0.2)),
        ({"image_size": 96, "crop_scale": 1.0, "jitter": 0.0}, (12, 1.0, 0.0)),
        ({"image_size": 8, "crop_scale": 0.3, "jitter": 0.1}, (0, 0.3, 0.1)),
    ],
)
def test_photographs_have_an_augmentation_of_their_own(make_folder, options, expected):
    folder = make_folder({"train/cat": 4, "train/dog": 4})
    found = load_task(f"folder:{folder}", **options).preprocessing
    assert (found.crop_padding, found.crop_scale, found.jitter) == expected


@pytest.mark.parametrize("fit", FITS)
def test_a_task_of_a_network_that_exists(make_folder, fit):
    folder = make_folder({"train/cat": 4, "train/dog": 4}, size=(12, 20), suffix="jpg")
    options = {"flip": False, "crop_padding": 1, "resize": 10, "fit": fit, "seed": 4}
    task = load_task(f"folder:{folder}", image_size=8, **options)
    again = load_prepared(f"folder:{folder}", task.preprocessing, seed=4)
    assert again.info == task.info
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(again, name).images, getattr(task, name).images)


@pytest.mark.parametrize("spec", ["digit", "digits:8", "folder", "folder:", "tfds:", "/a/path", ""])
def test_unknown_name_lists_the_known_forms(spec: str):
    message = rf"Unknown task {re.escape(repr(spec))}.*'digits'.*'folder:PATH'.*'tfds:NAME'"
    with pytest.raises(DataError, match=message):
        load_task(spec, image_size=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "image_size is 0; expected 1 or more"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"validation_fraction": 0}, "validation_fraction is 0; expected a number above 0"),
        ({"test_fraction": 1.5}, "test_fraction is 1.5; expected a number from 0 and below 1"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "add up to 1; expected less than 1"),
        ({"crop_padding": -2}, "crop_padding is -2; expected 0 or more"),
        ({"resize": 7}, "resize is 7; expected at least the image_size, 8"),
        ({"fit": "stretch"}, "fit is 'stretch'; expected one of crop, squeeze, pad"),
        ({"crop_scale": 0.5, "crop_padding": 2}, "expected one way to crop"),
    ],
)
def test_arguments_out_of_range(arguments: dict, message: str):
    with pytest.raises(DataError, match=message):
        load_task("digits", **{"image_size": 8} | arguments)


@pytest.mark.parametrize(
    ("spec", "flips"),
    [
        ("digits", False),
        ("folder:/data/svhn", True),
        ("tfds:cifar10", True),
        ("tfds:svhn_cropped", False),
        ("tfds:mnist:3.0.1", False),
        ("tfds:fashion_mnist", True),
        ("tfds:emnist/letters", False),
        ("tfds:visual_domain_decathlon/gtsrb", False),
        ("tfds:visual_domain_decathlon/gtsrb:1.2.0", False),
        ("tfds:visual_domain_decathlon/aircraft", True),
    ],
)
def test_characters_and_signs_are_not_mirrored(spec: str, flips: bool):
    kind, _, rest = spec.partition(":")
    assert SOURCES[kind].mirrors(rest) is flips
