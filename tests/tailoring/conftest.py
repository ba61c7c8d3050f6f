"""Fixtures of the tests of whole runs."""

import numpy as np
import pytest

from tailor_tf import load_task, tailor
from tailor_tf.network import weights
from tests import builders
from tests.tailoring.quick import SETTINGS


@pytest.fixture(scope="module")
def digits():
    """Handwritten digits of 8 pixels; read-only."""
    return load_task("digits", image_size=8)


@pytest.fixture(scope="module")
def universal():
    return builders.universal(builders.small_graph(), np.random.default_rng(0), 10)


@pytest.fixture(scope="module")
def finished(universal, digits, tmp_path_factory):
    """A finished run: its working directory and result."""
    workdir = tmp_path_factory.mktemp("run")
    before = weights.fingerprint(universal.model)
    result = tailor(universal, digits, workdir, SETTINGS)
    assert weights.fingerprint(universal.model) == before, "the universal network was changed"
    return workdir, result
