"""Examples in docstrings give what they show."""

import doctest
import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOUND = [
    path
    for path in sorted(ROOT.glob("tailor_tf/**/*.py"))
    if re.search(r"^ *>>> ", path.read_text(), re.M)
]


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_examples_of_docstrings(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert not doctest.testmod(module).failed
