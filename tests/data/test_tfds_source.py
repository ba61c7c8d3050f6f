"""TensorFlow Datasets, by means of tiny data sets that are generated here."""

import io
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from tailor_tf.data import tfds_source
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.data.errors import DataError
from tailor_tf.data.sources import load_task

CLASSES = ("no", "yes")


def encoded(seed: int, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


class _Tiny(tfds.core.GeneratorBasedBuilder):
    """Random 8x8 JPEG images; label -1 where `withheld`."""

    VERSION = tfds.core.Version("1.0.0")
    sizes: ClassVar = {"train": 20}
    withheld = ""

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, _):
        return {split: self._generate_examples(split) for split in self.sizes}

    def _generate_examples(self, split: str):
        for index in range(self.sizes[split]):
            label = -1 if split == self.withheld else index % 2
            yield index, {"image": io.BytesIO(encoded(index)), "label": label}


class TinyTrain(_Tiny):
    """Has a train split only."""


class TinyComplete(_Tiny):
    """Has all splits; the labels of the test split are withheld."""

    sizes: ClassVar = {"train": 8, "val": 6, "test": 4}
    withheld = "test"


class TinyWithheldTrain(_Tiny):
    """Labels nothing."""

    withheld = "train"


class TinyTestOnly(_Tiny):
    """Has nothing to train on."""

    sizes: ClassVar = {"test": 4}


class TinyOffline(_Tiny):
    """Cannot be prepared."""

    def _split_generators(self, _):
        raise ConnectionError("no route to host")


class TinyText(_Tiny):
    """Is about text."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features)


def load(name: str, data_dir: Path, **options):
    return load_task(f"tfds:{name}", image_size=8, data_dir=str(data_dir), **options)


def test_missing_splits_are_cut(tmp_path: Path):
    task = load("tiny_train", tmp_path)
    assert (task.name, task.classes) == ("tiny_train", CLASSES)
    sizes = [
        np.bincount(split.labels).tolist() for split in (task.train, task.validation, task.test)
    ]
    assert sizes == [[10 - 2 - 2] * 2, [2] * 2, [2] * 2]
    assert task.train.labels.dtype == np.int32


def test_own_splits_and_withheld_labels(tmp_path: Path):
    task = load("tiny_complete", tmp_path)
    assert (len(task.train), len(task.validation), task.test) == (8, 6, None)


def test_pixels_equal_pillows_and_belong_to_their_labels(tmp_path: Path):
    task = load("tiny_complete", tmp_path)
    images = [np.asarray(Image.open(io.BytesIO(encoded(index)))) for index in range(8)]
    expected = {image.tobytes(): index % 2 for index, image in enumerate(images)}
    found = zip(task.train.images, task.train.labels.tolist(), strict=True)
    assert {image.tobytes(): label for image, label in found} == expected


def test_images_over_the_budget_are_read_from_disk(tmp_path: Path, monkeypatch):
    expected = load("tiny_train", tmp_path)
    monkeypatch.setattr(tfds_source, "MEMORY_BUDGET", 0)
    found = load("tiny_train", tmp_path)
    assert not isinstance(found.test.images, np.ndarray)
    for task in (expected, found):
        assert task.preprocessing == expected.preprocessing
    batches = [
        next(iter(evaluation_batches(task.test, task.preprocessing, batch_size=4)))
        for task in (expected, found)
    ]
    tf.nest.map_structure(np.testing.assert_array_equal, *batches)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny_trian", r"no data set 'tiny_trian'; .*Close names: .*tiny_train"),
        ("tiny_train/large", r"cannot use 'tiny_train/large'; expected NAME, NAME/CONFIG"),
        ("tiny train", r"cannot use 'tiny train'; expected NAME"),
        ("tiny_text", r"features \{'text': 'Text'\}; expected 'image' .* 'label' \(ClassLabel\)"),
        ("tiny_test_only", r"has the splits test; expected a split 'train'"),
        ("tiny_withheld_train", r"Split 'train' .* without a label \(-1\)"),
        (
            "tiny_offline",
            r"not prepared in .*tiny_offline/1\.0\.0 .*no route to host.*'tfds build tiny_offline"
            r" --data_dir=",
        ),
    ],
)
def test_errors(tmp_path: Path, name: str, message: str):
    with pytest.raises(DataError, match=message):
        load(name, tmp_path)
