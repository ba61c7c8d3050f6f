"""Flags of a Keras model of a person's own, and what the programs say to mistakes with them."""

import re

import pytest

from tests import keras_builders
from tests.programs import program


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model without a normalisation, one with, and a damaged file."""
    folder = tmp_path_factory.mktemp("models")
    keras_builders.backbone().save(folder / "plain.keras")
    keras_builders.classifier().save(folder / "mine.keras")
    (folder / "damaged.keras").write_bytes((folder / "mine.keras").read_bytes()[:5000])
    return folder


@pytest.mark.parametrize(
    ("file", "flags", "message"),
    [
        ("plain", [], r"plain.keras does not say how its images are normalised"),
        ("plain", ["--mean=0.5,0.5,0.5"], "Received one of --mean and --std; expected both"),
        ("plain", ["--mean=0.5,0.5", "--std=1,1"], "--mean=0.5,0.5: expected 3 values"),
        ("plain", ["--normalisation=tf", "--mean=0,0,0", "--std=1,1,1"], "received both"),
        ("plain", ["--normalisation=none", "--image_size=18"], "a positive multiple of 4"),
        ("plain", ["--normalisation=none", "--blocks=9"], "cannot be cut into 9 blocks"),
        ("plain", ["--normalisation=imagnet"], "imagnet.*imagenet.*torch.*tf.*caffe.*none"),
        ("mine", ["--normalisation=torch"], "normalise images as .*, which contradicts --mean"),
        ("mine", ["--backbone=MobileNetV2"], "holds a whole model; expected no backbone"),
        ("damaged", [], "Cannot read a model from .*damaged.keras"),
    ],
)
def test_mistakes_end_in_one_message(file, flags, message, files, tmp_path):
    workdir = tmp_path / "run"
    universal = f"--universal={files / file}.keras"
    status, output = program("tailor", "--task=digits", f"--workdir={workdir}", universal, *flags)
    assert status not in (0, 130)
    assert re.search(message, output, re.DOTALL), output
    assert "Traceback" not in output
    assert not workdir.exists()


def test_other_networks_know_their_normalisation(tmp_path):
    flags = ["--universal=tiny_imagenet", "--normalisation=tf"]
    status, output = program("tailor", f"--workdir={tmp_path / 'run'}", *flags)
    assert status == 2
    assert "tiny_imagenet has a normalisation of its own and received 'tf'" in output
