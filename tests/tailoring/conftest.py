"""Fixtures of the tests of whole runs."""

import numpy as np
import pytest

from tailor_tf import Universal, backbones, load_task, tailor
from tailor_tf.network import weights
from tailor_tf.network.graph import build_network
from tests.builders import randomise
from tests.tailoring.quick import SETTINGS


@pytest.fixture(scope="module")
def digits():
    """Handwritten digits of 16 pixels; read-only."""
    return load_task("digits", image_size=16)


@pytest.fixture(scope="module")
def universal():
    graph = backbones.create("wide_resnet26", image_size=16, width=0.125)
    model = build_network(graph, 10)
    randomise(model, np.random.default_rng(0))
    model.trainable = False
    return Universal(graph, model)


@pytest.fixture(scope="module")
def finished(universal, digits, tmp_path_factory):
    """A finished run: its working directory and result."""
    workdir = tmp_path_factory.mktemp("run")
    before = weights.fingerprint(universal.model)
    result = tailor(universal, digits, workdir, SETTINGS)
    assert weights.fingerprint(universal.model) == before, "the universal network was changed"
    return workdir, result
