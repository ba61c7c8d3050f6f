"""Photographs of any shape and rotation: every artifact sees what the training sees."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from export import formats
from export.onnx import single as onnx
from export.saved_model import single as saved_model
from export.serving import client
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.data.folder import load_folder
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.square import FITS
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tests.builders import random_architecture, random_student
from tests.data.pictures import photograph, smooth_image

CLASSES = ("ant", "bee")


@pytest.fixture(scope="module")
def network(small):
    rng = np.random.default_rng(4)
    architecture = random_architecture(small.graph.num_blocks, rng, 3)
    return fold(compact(random_student(small, architecture, rng, len(CLASSES))))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of two classes, with a photograph for each of the eight rotations."""
    folder = tmp_path_factory.mktemp("photographs")
    for orientation in range(1, 9):
        path = folder / CLASSES[orientation % 2] / f"{orientation}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photograph(smooth_image(40 + orientation, 24), orientation))
    return folder


# test_encoded.py has images that are cropped.
FITTING = [pytest.param(f, marks=[pytest.mark.slow] if f == "crop" else []) for f in FITS]


@pytest.mark.parametrize("fit", FITTING)
def test_artifacts_answer_as_in_training(network, photographs, tmp_path, fit):
    colours = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    prepared = Preprocessing(8, *colours, flip=True, crop_padding=0, resize=10, fit=fit)
    info = TaskInfo("animals", CLASSES, prepared)
    _, splits = load_folder(str(photographs), prepared.square)
    ((inputs, _),) = evaluation_batches(splits["train"], prepared, batch_size=8)
    expected = network(inputs, training=False).numpy()
    files = client.image_files([photographs])

    saved_model.save(tmp_path / "saved_model", network, info)
    (tmp_path / "float32.onnx").write_bytes(onnx.convert(network, info))
    served = saved_model.load(tmp_path / "saved_model")[0].signatures
    contents = tf.constant([path.read_bytes() for path in files])
    encoded = served["encoded_images"](encoded=contents)["logits"]
    np.testing.assert_allclose(encoded, expected, atol=1e-4)

    for path, logits in zip(files, expected, strict=True):
        with Image.open(path) as picture:
            upright = np.asarray(ImageOps.exif_transpose(picture))[None]
        by_tensor = served["serving_default"](images=tf.constant(upright))["logits"]
        # A rotated grid may round a few levels the other way.
        np.testing.assert_allclose(by_tensor[0], logits, atol=0.02 * np.abs(expected).max())

    assert formats.load(tmp_path / "float32.onnx").info == info
    for name in ("float32.onnx", "saved_model"):
        answers = dict(client.classify(files, client.local(tmp_path / name)))
        assert [a.class_name for a in answers.values()] == [CLASSES[i] for i in expected.argmax(-1)]
        scores = [answer.score for answer in answers.values()]
        np.testing.assert_allclose(scores, tf.nn.softmax(expected).numpy().max(-1), atol=1e-4)
