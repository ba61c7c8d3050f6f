"""Normalisation, its statistics and its JSON form."""

import dataclasses
import json

import numpy as np
import pytest

from tailor_tf.data.errors import DataError
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.statistics import SMALLEST_STD, channel_statistics

GIVEN = Preprocessing(8, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), flip=True, crop_padding=1)


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)


def test_normalisation_equals_its_formula():
    images = random_images(3)
    expected = (images / 255 - np.array(GIVEN.mean)) / np.array(GIVEN.std)
    np.testing.assert_allclose(GIVEN.normalise(images), expected, atol=1e-6)


def test_statistics_equal_numpys():
    images = random_images(600)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)))


def test_statistics_of_one_colour_can_be_divided_by():
    mean, std = channel_statistics(np.full((2, 8, 8, 3), 51, np.uint8))
    np.testing.assert_allclose(mean, 51 / 255)
    np.testing.assert_allclose(std, SMALLEST_STD)


def test_json_round_trip():
    assert Preprocessing.from_dict(json.loads(json.dumps(GIVEN.as_dict()))) == GIVEN


def test_json_round_trip_of_photographs():
    given = dataclasses.replace(GIVEN, crop_padding=0, fit="pad", crop_scale=0.5, jitter=0.2)
    assert Preprocessing.from_dict(json.loads(json.dumps(given.as_dict()))) == given


def test_json_of_older_versions_has_the_same_fields():
    """Files of older versions are read, and settings that are not used do not differ from them."""
    data = {
        "image_size": 8,
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
        "flip": True,
        "crop_padding": 1,
        "resize": 8,
    }
    assert GIVEN.as_dict() == data
    assert list(GIVEN.as_dict()) == list(data)
    read = Preprocessing.from_dict(data)
    assert (read.fit, read.crop_scale, read.jitter) == ("crop", 1.0, 0.0)


@pytest.mark.parametrize("change", [{"mean": None}, {"zoom": 2}])
def test_json_with_other_fields(change: dict):
    data = GIVEN.as_dict() | change
    data = {name: value for name, value in data.items() if value is not None}
    with pytest.raises(DataError, match=r"received the fields \['crop_padding', .*expected"):
        Preprocessing.from_dict(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 0}, "image_size is 0; expected 1 or more"),
        ({"crop_padding": -1}, "crop_padding is -1; expected 0 or more"),
        ({"resize": 7}, "resize is 7; expected at least the image_size, 8"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
        ({"mean": (1.0,)}, "three numbers each"),
        ({"fit": "stretch"}, "fit is 'stretch'; expected one of crop, squeeze, pad"),
        ({"crop_scale": 0.0}, "crop_scale is 0.0; expected a part .* above 0 and at most 1"),
        ({"crop_scale": 1.5}, "crop_scale is 1.5; expected a part"),
        ({"jitter": 1.0}, "jitter is 1.0; expected a number from 0 and below 1"),
        ({"jitter": -0.1}, "jitter is -0.1; expected"),
        ({"crop_scale": 0.5}, "crop_padding is 1; expected one way to crop .* a crop_scale of 1"),
    ],
)
def test_values_out_of_range(change: dict, message: str):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(GIVEN, **change)
