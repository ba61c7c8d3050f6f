"""The watch over code that reads wrong inputs fails where it should."""

import contextlib
import time

import numpy as np
import pytest

from tests.fuzz import watching
from tests.fuzz.watching import bounded, watched


def test_what_is_quick_small_and_inside(tmp_path):
    with watched(tmp_path):
        (tmp_path / "file").write_text("text")


def test_memory_that_is_given_back(monkeypatch):
    monkeypatch.setattr(watching, "_READING", 50 * 10**6)
    for _ in range(2):
        with pytest.raises(AssertionError, match=r"it took 0\.[12]. GB"), bounded():
            np.ones(150 * 10**6, np.uint8)
    with bounded():
        pass


def test_time_also_of_code_that_catches_every_error(monkeypatch):
    monkeypatch.setattr(watching, "SECONDS", 0.1)
    swallowed = contextlib.suppress(Exception)
    with pytest.raises(AssertionError, match=r"it took"), bounded(), swallowed:
        time.sleep(5)


@pytest.mark.parametrize(
    "change", [lambda path: path.write_text("text"), lambda path: path.rename(path.parent / "b")]
)
def test_changes_elsewhere(change, tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "a").write_text("text")
    with pytest.raises(AssertionError), watched(tmp_path / "inside"):
        change(tmp_path / "a")
