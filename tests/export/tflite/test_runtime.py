"""Files that LiteRT cannot run: one message, and nothing is published."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from export import exporter, formats
from export.exportable import Exportable
from export.metadata import ArtifactError
from export.options import Options
from export.tflite import single
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo

PREPROCESSING = Preprocessing(8, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0)
INFO = TaskInfo("animals", ("ant", "bee"), PREPROCESSING)


@pytest.fixture
def network():
    """A network of which int8 takes -inf for the smallest value of a tensor."""
    images = keras.Input((8, 8, 3))
    x = kl.Conv2D(4, 3)(images)
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=float("-inf"))
    x = kl.GlobalAveragePooling2D()(kl.Conv2D(4, 1)(kl.MaxPooling2D(3, 2)(x)))
    return keras.Model(images, kl.Dense(2)(x), name="infinite")


def test_file_that_litert_cannot_run(network, rng, tmp_path):
    samples = rng.normal(size=(4, 1, 8, 8, 3)).astype("float32")
    path = tmp_path / "int8.tflite"
    single.save(path, single.convert(network, "int8", representative=samples), INFO)
    with pytest.raises(ArtifactError, match=r"cannot run .*int8.tflite: .*--precision") as caught:
        formats.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.count("XNNPACK") <= 2


def test_flatbuffer_that_is_cut_off(network, tmp_path):
    path = tmp_path / "float32.tflite"
    content = single.convert(network)
    single.save(path, content[: len(content) // 2], INFO)
    with pytest.raises(ArtifactError, match=r"LiteRT cannot run .*float32.tflite"):
        formats.load(path)


def test_nothing_is_published_that_litert_cannot_run(network, rng, tmp_path):
    images = rng.integers(0, 256, (20, 8, 8, 3), np.uint8)
    split = Split("train", np.arange(20, dtype=np.int32) % 2, images)
    task = Task(INFO, train=split, validation=split, test=None)
    options = Options(formats=("tflite",), precisions=("float32", "int8"), measure=False)
    with pytest.raises(ArtifactError, match=r"cannot run .*int8.tflite"):
        exporter.export(Exportable(INFO, network), task, tmp_path, options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_tensors_that_no_memory_holds(network, tmp_path, monkeypatch):
    path = tmp_path / "float32.tflite"
    single.save(path, single.convert(network), INFO)
    formats.load(path)
    monkeypatch.setattr("tailor_tf.support.limits.TENSOR_BYTES", 1000)
    with pytest.raises(ArtifactError, match=r"its tensors have [\d,]+ bytes, expected 1,000 at"):
        formats.load(path)
