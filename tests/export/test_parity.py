"""Figures and limits of how near an artifact is to its network."""

import numpy as np
import pytest

from export import parity
from export.options import Options
from export.tflite.artifacts import TFLite

EXPECTED = np.float32([[4, 1, 0], [0, 5, 1], [1, 2, 9], [3, 0, 1]])
LABELS = np.array([0, 1, 2, 1])


def _of(received, expected=EXPECTED):
    return parity.compare(expected, np.float32(received), LABELS)


def _check(name, precision, found, max_accuracy_drop):
    """Holds an artifact to the limits of TFLite files of that precision."""
    options = Options(max_accuracy_drop=max_accuracy_drop)
    parity.check(name, TFLite(precision, options).limits, found)


def test_differences_agreement_and_accuracy():
    received = EXPECTED.copy()
    received[3] = [0, 3, 1]
    result = _of(received)
    assert result.images == 4
    assert result.max_difference == 3
    assert result.mean_difference == pytest.approx(6 / 12)
    assert result.agreement == 0.75
    assert (result.accuracy, result.expected_accuracy) == (1.0, 0.75)
    assert result.drop == -25


def test_ties_agree():
    expected = EXPECTED.copy()
    expected[0] = [4, 4 - 1e-5, 0]
    received = expected.copy()
    received[0] = [4, 4 + 1e-5, 0]
    assert _of(received, expected).agreement == 1.0


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8"])
def test_equal_passes(precision):
    _check("a", precision, _of(EXPECTED), 0.0)


@pytest.mark.parametrize(
    ("precision", "change", "reason"),
    [
        ("float32", 0.01, "differ by 1.1e-03, expected 1e-04"),
        ("float32", np.nan, "not finite"),
        ("int8", np.inf, "not finite"),
    ],
)
def test_wrong_logits(precision, change, reason):
    with pytest.raises(parity.ParityError, match=f"onnx is not what was trained.*{reason}"):
        _check("onnx", precision, _of(EXPECTED + np.float32([change, 0, 0])), 50.0)


def test_other_classes():
    received = EXPECTED[:, ::-1]
    for precision, reason in (("float32", "top-1 agrees"), ("float16", "top-1 agrees")):
        with pytest.raises(parity.ParityError, match=reason):
            _check("a", precision, _of(received), 0.5)
    with pytest.raises(parity.ParityError, match=r"falls by 50\.00 points, expected 0\.5"):
        _check("a", "int8", _of(received), 0.5)
    _check("a", "int8", _of(received), 50.0)


def test_float16_may_miss_one_image_of_a_few():
    expected = EXPECTED.copy()
    expected[2:] = [[8.95, 2, 9], [2.95, 3, 1]]  # classes that are near each other
    received = expected.copy()
    received[3] = [3, 2.95, 1]
    _check("a", "float16", _of(received, expected), 0.5)
    received[2] = [9, 2, 8.95]
    with pytest.raises(parity.ParityError, match=r"agrees on 50.00 % .* expected 75.00 %"):
        _check("a", "float16", _of(received, expected), 0.5)


def test_float16_may_not_be_far_from_its_network():
    received = EXPECTED.copy()
    received[0] = [4.2, 1, 0]
    with pytest.raises(parity.ParityError, match=r"differ by 2\.2e-02, expected 2e-02 at most"):
        _check("a", "float16", _of(received), 0.5)


def test_batches_cover_all_images():
    images = np.arange(150)[:, None]
    sizes = []

    def logits(batch):
        sizes.append(len(batch))
        return batch * 2

    np.testing.assert_array_equal(parity.in_batches(logits, images), images * 2)
    assert sizes == [64, 64, 22]


def test_a_file_with_trained_weights_is_held_to_its_accuracy():
    found = _of(EXPECTED[:, ::-1])
    sparse = TFLite("float32", Options(max_accuracy_drop=50.0), "sparse", lambda subject: None)
    parity.check("a", sparse.limits, found)
    with pytest.raises(parity.ParityError, match="accuracy falls by"):
        options = Options(max_accuracy_drop=0.5)
        parity.check("a", TFLite("float32", options, "sparse").limits, found)


def test_limits_that_are_not_given_are_not_looked_at():
    parity.check("a", parity.Limits(), _of(EXPECTED[:, ::-1]))
    with pytest.raises(parity.ParityError, match="not finite"):
        parity.check("a", parity.Limits(), _of(EXPECTED + np.float32([np.nan, 0, 0])))
