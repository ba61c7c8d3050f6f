"""Pools of blocks and proxies, against NumPy."""

import numpy as np
import pytest

from tailor_tf.network import blocks


def _pooled(x, kernel, strides, before, sides):
    """Largest value of each window, where windows begin `before` pixels outside of the image."""
    largest = [
        [
            x[max(top, 0) : top + kernel, max(left, 0) : left + kernel].max((0, 1))
            for left in (strides * column - before for column in range(sides))
        ]
        for top in (strides * row - before for row in range(sides))
    ]
    return np.stack([np.stack(row) for row in largest])


@pytest.mark.parametrize(
    ("rectified", "side", "strides", "before"),
    [
        (True, 8, 2, 1),  # a pixel outside on every side
        (True, 7, 2, 1),
        (True, 8, 4, 2),
        (False, 8, 2, 0),  # one outside in all, at the far side
        (False, 7, 2, 1),  # two
        (False, 8, 4, 0),
        (False, 9, 4, 2),  # four
    ],
)
def test_max_pool(rng, rectified, side, strides, before):
    x = rng.uniform(1, 2, (1, side, side, 3)).astype("float32") * (1 if rectified else -1)
    pooled = blocks.max_pool(x, strides + 1, strides, rectified=rectified)
    expected = _pooled(x[0], strides + 1, strides, before, -(-side // strides))
    np.testing.assert_array_equal(pooled[0], expected)
