"""Paths and architectures: plain data."""

import json

import pytest

from tailor_tf.network.architecture import Architecture, Path
from tests.builders import random_subset


# Layer l of 6 has one universal block and min(l, max_skip) proxies.
@pytest.mark.parametrize(
    ("max_skip", "proxies"),
    [
        (1, 1 + 1 + 1 + 1 + 1 + 1),
        (3, 1 + 2 + 3 + 3 + 3 + 3),
        (5, 1 + 2 + 3 + 4 + 5 + 5),
        (None, 1 + 2 + 3 + 4 + 5 + 6),
    ],
)
def test_full_has_a_proxy_from_each_of_the_last_nodes(max_skip, proxies):
    full = Architecture.full(6, max_skip)
    assert full.universal_blocks == (1, 2, 3, 4, 5, 6)
    assert len(full.proxies) == proxies
    assert len(full.paths) == 6 + proxies
    reach = max_skip or 6
    assert all(1 <= path.target - path.source <= reach for path in full.proxies)


def test_paths_of_a_layer_are_in_gate_order():
    # the universal block, then proxies from near to far, whatever order they came in
    shuffled = Architecture(4, tuple(reversed(Architecture.full(4, 3).paths)))
    assert shuffled.into(4) == (
        Path.block(4),
        Path.proxy(4, source=3),
        Path.proxy(4, source=2),
        Path.proxy(4, source=1),
    )
    assert shuffled.into(2) == (Path.block(2), Path.proxy(2, source=1), Path.proxy(2, source=0))
    assert shuffled == Architecture.full(4, 3)


def test_paths_out_of_a_node():
    full = Architecture.full(4, 2)
    assert set(full.out_of(1)) == {Path.block(2), Path.proxy(2, source=1), Path.proxy(3, source=1)}
    assert full.out_of(4) == ()


def test_without_removes_those_paths_alone():
    full = Architecture.full(3, 2)
    left = full.without([Path.block(2), Path.proxy(2, source=1), Path.proxy(2, source=0)])
    assert set(full.paths) - set(left.paths) == {
        Path.block(2),
        Path.proxy(2, source=1),
        Path.proxy(2, source=0),
    }
    assert left.layers == (1, 3)
    assert left.universal_blocks == (1, 3)


def test_json_round_trip(rng):
    for max_skip in (1, 3, None):
        architecture = random_subset(Architecture.full(7, max_skip), rng)
        again = Architecture.from_dict(json.loads(json.dumps(architecture.as_dict())))
        assert again == architecture
        assert all(type(path) is Path for path in again.paths)


@pytest.mark.parametrize(
    "path",
    [
        Path.proxy(3, source=3),  # reads its own output
        Path.proxy(2, source=3),  # reads a later layer
        Path.proxy(5, source=0),  # leads past the last layer
        Path.proxy(1, source=-1),  # reads before the stem
        Path(target=3, source=1, universal=True),  # a universal block reads the node before it
    ],
)
def test_invalid_path_is_refused(path):
    with pytest.raises(ValueError, match=r"is no path of a network of 4 blocks; expected"):
        Architecture(4, (Path.block(1), path))


@pytest.mark.parametrize("max_skip", [0, -1])
def test_max_skip_below_one_is_refused(max_skip):
    with pytest.raises(ValueError, match=rf"max_skip is {max_skip}; expected 1 or more"):
        Architecture.full(4, max_skip)


def test_path_names():
    assert Path.block(3).name == "block3"
    assert Path.proxy(3, source=1).name == "block3_proxy1"
