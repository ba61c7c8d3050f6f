"""Fixtures of the report's tests."""

import pytest

from tests.report import builders


@pytest.fixture
def made():
    """The records of a finished run, to be changed."""
    return builders.finished()
