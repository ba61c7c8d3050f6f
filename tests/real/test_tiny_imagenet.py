"""The shipped network for small pictures, against what its model card says."""

import re

import pytest

from tailor_tf.backbones.files import SHIPPED
from tailor_tf.backbones.loading import load_universal
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.data.sources import load_task
from tailor_tf.network import counting
from tailor_tf.training import evaluation
from tests.shared_data import image_set

PATH = SHIPPED["tiny_imagenet"]
CARD = PATH.with_suffix(".md")


def card_figure(name):
    """The number in the card's row `| name | number ... |`, thousands separators left out."""
    match = re.search(rf"^\| {name} \| ([\d,.]+)", CARD.read_text(), re.MULTILINE)
    return float(match[1].replace(",", ""))


@pytest.fixture(scope="module")
def shipped():
    return load_universal("tiny_imagenet")


def test_is_one_small_file():
    assert PATH.stat().st_size <= 4_000_000


def test_the_card_counts_what_is_shipped(shipped):
    assert shipped.graph.config == {"name": "wide_resnet26", "image_size": 32, "width": 0.5}
    assert counting.parameters(shipped.model) == card_figure("parameters")
    assert counting.multiply_adds(shipped.model) == card_figure("multiply-adds")
    assert shipped.fingerprint in CARD.read_text()


@pytest.mark.slow
def test_accuracy_on_held_out_images(shipped):
    folder = image_set("tiny_imagenet", "test", "train_a", "train_b")
    task = load_task(f"folder:{folder}", image_size=32, validation_fraction=0.02)
    batches = evaluation_batches(task.test, task.preprocessing, batch_size=250)
    assert 100 * evaluation.evaluate(shipped.model, batches) == pytest.approx(
        card_figure("top-1 on held-out images"), abs=0.05
    )
