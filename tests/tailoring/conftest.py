"""Fixtures of the tests of whole runs."""

import pytest

from tailor_tf import load_task


@pytest.fixture(scope="module")
def digits():
    """Handwritten digits of 16 pixels; read-only."""
    return load_task("digits", image_size=16)
