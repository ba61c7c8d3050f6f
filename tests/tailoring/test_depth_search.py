import pytest

from tailor_tf.tailoring.depth_search import DepthSearch

# Accuracy by depth; 400 images have a standard error of about 0.015 near 0.9.
RISING = {16: 0.90, 15: 0.89, 11: 0.86, 8: 0.70, 5: 0.60}
FLAT = {16: 0.90, 15: 0.897, 11: 0.91, 8: 0.907, 5: 0.70, 3: 0.95}
LATE = {16: 0.80, 15: 0.85, 11: 0.90}


@pytest.mark.parametrize(
    ("accuracies", "tolerance", "chosen", "tried"),
    [
        (RISING, 0.005, 16, [16, 15, 11]),
        (RISING, 0.01, 15, [16, 15, 11]),
        (RISING, 0.05, 11, [16, 15, 11, 8]),
        (FLAT, 0.005, 8, [16, 15, 11, 8, 5]),
        (FLAT, 0.0, 11, [16, 15, 11, 8, 5]),
        (LATE, 0.005, 11, [16, 15, 11]),
    ],
)
def test_the_shortest_network_near_the_best_one(accuracies, tolerance, chosen, tried):
    asked = []

    def accuracy(depth):
        asked.append(depth)
        return accuracies[depth]

    search = DepthSearch(accuracy, tolerance, images=400)
    assert search.choose(sorted(accuracies)) == chosen
    assert asked == tried
