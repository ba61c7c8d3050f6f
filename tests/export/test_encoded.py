"""Encoded images in a SavedModel and in the client: what the training accepts, pixel for pixel."""

import numpy as np
import pytest
import tensorflow as tf

from export.saved_model import single as saved_model
from export.serving import client
from tailor_tf.data.batches import evaluation_input
from tailor_tf.data.folder import load_folder
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tests.builders import random_architecture, random_student
from tests.data.encodings import ACCEPTED, REFUSED

INFO = TaskInfo(
    "animals",
    ("ant", "bee"),
    Preprocessing(8, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), flip=True, crop_padding=0),
)


@pytest.fixture(scope="module")
def network(small):
    rng = np.random.default_rng(4)
    architecture = random_architecture(small.graph.num_blocks, rng, 3)
    return fold(compact(random_student(small, architecture, rng, len(INFO.classes))))


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "1"
    saved_model.save(path, network, INFO)
    return path


@pytest.fixture(scope="module")
def encoded_images(folder):
    loaded = tf.saved_model.load(str(folder))
    yield loaded.signatures["encoded_images"]
    del loaded


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder for the training, with every variant that is accepted in both classes."""
    root = tmp_path_factory.mktemp("images")
    for class_name in INFO.classes:
        (root / class_name).mkdir()
        for index, (name, (content, _)) in enumerate(ACCEPTED.items()):
            suffix = name.partition(",")[0].lower()
            (root / class_name / f"{index:03}.{suffix}").write_bytes(content)
    return root


def test_signature_and_client_answer_as_the_training(network, encoded_images, folder, images):
    _, splits = load_folder(str(images), INFO.preprocessing.square)
    squares = splits["train"].images[: len(ACCEPTED)]
    expected = network(evaluation_input(squares, INFO.preprocessing), training=False).numpy()
    contents = tf.constant([content for content, _ in ACCEPTED.values()])
    found = encoded_images(encoded=contents)["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    files = client.image_files([images / INFO.classes[0]])
    answers = [answer for _, answer in client.classify(files, client.local(folder))]
    scores = [answer.scores for answer in answers]
    np.testing.assert_allclose(scores, tf.nn.softmax(expected), atol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_training_refuses_is_an_error_of_its_request(encoded_images, folder, name):
    content, reason = REFUSED[name]
    good, _ = ACCEPTED["PNG"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        encoded_images(encoded=tf.constant([good, content]))
    encoded_images(encoded=tf.constant([good]))
