"""Random windows and colours of photographs."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from tailor_tf.data.augmentation import draw, recoloured, scaled_windows
from tailor_tf.data.batches import evaluation_batches, training_batches
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tests.data.pictures import smooth_image

PLAIN = Preprocessing(16, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), flip=False, crop_padding=0)
CROPPED = dataclasses.replace(PLAIN, crop_scale=0.5)
COUNT = 2000


def pictures(count: int, side: int) -> Split:
    pixels = np.asarray(smooth_image(side, side))
    images = np.stack([np.roll(pixels, index, axis=1) for index in range(count)])
    return Split("train", np.arange(count, dtype=np.int32), images)


def train(split: Split, preprocessing: Preprocessing, **options):
    options = {"batch_size": 5, "seed": 0, "epoch": 0, "drop_remainder": False} | options
    images, labels = zip(
        *training_batches(split, preprocessing, **options).as_numpy_iterator(), strict=True
    )
    return np.concatenate(images), np.concatenate(labels)


def drawn(preprocessing: Preprocessing, **changes) -> dict[str, np.ndarray]:
    return draw(dataclasses.replace(preprocessing, **changes), COUNT, seed=0, epoch=0)[1]


def test_windows_have_the_areas_and_proportions_asked_for():
    top, left, bottom, right = drawn(CROPPED)["boxes"].T
    assert min(top.min(), left.min()) > 0 and max(bottom.max(), right.max()) < 1
    heights, widths = bottom - top, right - left
    areas, aspects = heights * widths, widths / heights
    assert 0.499 < areas.min() < 0.51 and 0.99 < areas.max() <= 1
    assert np.mean(areas) == pytest.approx(0.75, abs=0.01)  # uniform in 0.5..1
    assert 3 / 4 - 0.001 <= aspects.min() < 0.77 and 1.3 < aspects.max() <= 4 / 3 + 0.001
    for start, length in ((top, heights), (left, widths)):
        assert np.mean(start / (1 - length)) == pytest.approx(0.5, abs=0.03)


def test_mirror_images_have_left_and_right_swapped():
    plain, flipped = drawn(CROPPED)["boxes"], drawn(CROPPED, flip=True)["boxes"]
    swapped = flipped[:, 1] > flipped[:, 3]
    assert 0.45 < swapped.mean() < 0.55
    np.testing.assert_array_equal(flipped[~swapped], plain[~swapped])
    np.testing.assert_array_equal(flipped[swapped], plain[swapped][:, [0, 3, 2, 1]])


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({}, set()),
        ({"flip": True}, {"corners", "mirrored"}),
        ({"crop_padding": 1}, {"corners", "mirrored"}),
        ({"jitter": 0.1}, {"factors"}),
        ({"crop_scale": 0.9, "flip": True}, {"boxes"}),
        ({"crop_scale": 0.9, "flip": True, "jitter": 0.1}, {"boxes", "factors"}),
    ],
)
def test_only_what_is_needed_is_drawn(changes: dict, arguments: set[str]):
    assert drawn(PLAIN, **changes).keys() == arguments


def test_order_and_mirror_images_do_not_depend_on_the_new_numbers():
    old = dataclasses.replace(PLAIN, flip=True)
    new = dataclasses.replace(old, crop_scale=0.5, jitter=0.2)
    (order, before), (other_order, after) = (draw(p, COUNT, seed=1, epoch=2) for p in (old, new))
    np.testing.assert_array_equal(order, other_order)
    boxes = after["boxes"]
    np.testing.assert_array_equal(before["mirrored"], boxes[:, 1] > boxes[:, 3])


def test_numbers_of_a_seed_stay_the_same():
    """What is drawn, and in which order, is part of the result of a run."""
    padded = dataclasses.replace(PLAIN, flip=True, crop_padding=2)
    order, drawn = draw(padded, 5, seed=3, epoch=4)
    random = np.random.default_rng([3, 4])
    np.testing.assert_array_equal(order, random.permutation(5))
    np.testing.assert_array_equal(drawn["corners"], random.integers(0, 5, (5, 2), np.int32))
    np.testing.assert_array_equal(drawn["mirrored"], random.random(5) < 0.5)


def test_windows_are_scaled_like_pillows():
    picture = smooth_image(40, 40)
    boxes = np.array([[0.1, 0.2, 0.7, 0.9], [0.1, 0.9, 0.7, 0.2]], np.float32)
    found = scaled_windows(tf.constant(np.stack([picture] * 2)), tf.constant(boxes), 32).numpy()
    # Pillow measures from the border of the outermost pixels, not from their centres.
    top, left, bottom, right = boxes[0] * 39 + 0.5
    half = [length / 31 / 2 for length in (bottom - top, right - left)]
    box = (left - half[1], top - half[0], right + half[1], bottom + half[0])
    expected = picture.resize((32, 32), Image.Resampling.BILINEAR, box=box)
    assert np.abs(found[0] - np.asarray(expected, float)).max() <= 2
    np.testing.assert_allclose(found[1], found[0][:, ::-1], atol=0.01)


def test_windows_have_no_black_rim():
    white = tf.fill([COUNT, 16, 16, 3], tf.constant(255, tf.uint8))
    for scale in (0.1, 0.999):
        boxes = drawn(PLAIN, crop_scale=scale)["boxes"]
        assert tf.reduce_min(scaled_windows(white, tf.constant(boxes), 16)) > 254.9


def test_the_whole_image_is_hardly_changed():
    split = pictures(7, 16)
    found, labels = train(split, dataclasses.replace(PLAIN, crop_scale=0.99999))
    ((whole, _),) = evaluation_batches(split, PLAIN, batch_size=7)
    np.testing.assert_allclose(found, whole.numpy()[labels], atol=0.01)


@pytest.mark.parametrize("factors", [(1, 1, 1), (0.7, 1, 1), (1.3, 0.8, 1.2), (0.9, 1.25, 0.75)])
def test_colours_equal_pillows(factors: tuple[float, float, float]):
    picture = smooth_image(24, 16)
    pixels = tf.constant(np.asarray(picture)[None])
    found = recoloured(pixels, tf.constant([factors], tf.float32))[0].numpy()
    for kind, factor in zip(("Brightness", "Contrast", "Color"), factors, strict=True):
        picture = getattr(ImageEnhance, kind)(picture).enhance(factor)
    # Pillow rounds to whole levels after each of the three.
    assert np.abs(found - np.asarray(picture, float)).max() <= 3


def test_factors_are_uniform_around_one():
    factors = drawn(PLAIN, jitter=0.2)["factors"]
    assert factors.shape == (COUNT, 3)
    assert 0.8 <= factors.min() < 0.801 and 1.199 < factors.max() <= 1.2
    np.testing.assert_allclose(factors.mean(0), 1, atol=0.01)


@pytest.mark.parametrize("changes", [{"crop_scale": 0.5}, {"jitter": 0.3}, {"resize": 20}])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_examples_do_not_depend_on_the_batch_size(batch_size: int, changes: dict):
    preprocessing = dataclasses.replace(PLAIN, flip=True, **({"jitter": 0.1} | changes))
    split = pictures(13, preprocessing.resize)
    found, expected = (train(split, preprocessing, batch_size=n) for n in (batch_size, 5))
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)


def test_epochs_differ_and_repeat():
    preprocessing = dataclasses.replace(CROPPED, jitter=0.2)
    first, again, other = (train(pictures(8, 16), preprocessing, epoch=e)[0] for e in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_windows_of_a_larger_square_are_scaled_to_the_input():
    preprocessing = dataclasses.replace(CROPPED, resize=20)
    split = pictures(6, 20)
    assert train(split, preprocessing)[0].shape == (6, 16, 16, 3)
    ((evaluated, _),) = evaluation_batches(split, preprocessing, batch_size=6)
    np.testing.assert_allclose(
        evaluated, preprocessing.normalise(split.images[:, 2:18, 2:18]), atol=1e-6
    )
