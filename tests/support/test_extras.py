"""Packages of extras that are not installed."""

import sys

import pytest

from tailor_tf.support import extras
from tailor_tf.support.errors import TailorError


@pytest.fixture
def _without(monkeypatch):
    for name in ("onnx", "tensorflow_serving", "tensorflow_datasets"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("_without")
@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (["onnx"], r'onnx is not installed; expected what pip install "tailor_tf\[export\]"'),
        (["onnx.reference", "onnxruntime"], r"onnx is not installed"),
        (["tensorflow_serving.apis"], r'"tailor_tf\[serving\]"'),
        (["tensorflow_serving", "onnx"], r'tensorflow_serving, onnx are not .*"tailor_tf\[export'),
        (["tensorflow_datasets"], r'"tailor_tf\[tfds\]"'),
    ],
)
def test_the_smallest_extra_with_all_missing_packages_is_named(modules, message):
    with pytest.raises(extras.MissingPackageError, match=message) as caught:
        extras.require(*modules)
    assert isinstance(caught.value, TailorError)


@pytest.mark.usefixtures("_without")
def test_modules_that_are_there_and_those_of_no_extra():
    extras.require("onnxruntime", "ai_edge_litert.interpreter", "tensorflow", "no_such_module")
