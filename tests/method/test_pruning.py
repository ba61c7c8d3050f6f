import math

import numpy as np
import pytest

from tailor_tf.method.pruning import close, prune, strongest_chain
from tailor_tf.network.architecture import Architecture, Path
from tests.builders import random_architecture, random_gates, random_subset, surviving, walks

SKIPS = [1, 2, 3, None]


def _random_case(seed, layers=5):
    """A random architecture, and gates as a student over it has them."""
    rng = np.random.default_rng(seed)
    architecture = random_architecture(layers, rng, SKIPS[seed % len(SKIPS)])
    return architecture, random_gates(architecture, rng)


class TestClose:
    @pytest.mark.parametrize("seed", range(60))
    def test_keeps_what_is_on_some_way_through(self, seed):
        rng = np.random.default_rng(seed)
        full = Architecture.full(int(rng.integers(1, 7)), SKIPS[seed % len(SKIPS)])
        architecture = random_subset(full, rng)
        assert set(close(architecture).paths) == surviving(architecture)

    def test_changes_nothing_the_second_time(self, rng):
        closed = close(random_subset(Architecture.full(6, 3), rng))
        assert close(closed) == closed

    def test_follows_rules_from_both_ends(self):
        # nothing leads into x_1 and so into x_2; nobody reads x_4 and so x_3
        architecture = Architecture(
            5,
            (
                Path.block(2),
                Path.proxy(3, source=0),
                Path.block(4),
                Path.proxy(5, source=2),
                Path.proxy(5, source=0),
            ),
        )
        assert close(architecture).paths == (Path.proxy(5, source=0),)

    def test_nothing_is_left_without_a_way_through(self):
        assert close(Architecture(3, (Path.block(1), Path.block(3)))).paths == ()


class TestStrongestChain:
    @pytest.mark.parametrize("seed", range(40))
    def test_has_the_largest_product_of_all_ways(self, seed):
        architecture, gates = _random_case(seed)
        best = max(walks(architecture), key=lambda walk: math.prod(gates[path] for path in walk))
        assert tuple(strongest_chain(architecture, gates)) == best

    def test_no_way_through_is_an_error(self):
        with pytest.raises(ValueError, match=r"does not connect the stem to the classifier"):
            strongest_chain(Architecture(2, (Path.block(2),)), {Path.block(2): 1.0})


class TestPrune:
    def test_removes_the_blocks_with_the_smallest_gates(self):
        architecture = Architecture.full(4, 1)
        blocks = dict(zip((1, 2, 3, 4), (0.9, 0.3, 0.8, 0.2), strict=True))
        gates = {
            path: blocks[path.target] if path.universal else 1 - blocks[path.target]
            for path in architecture.paths
        }
        left = [prune(architecture, gates, num_blocks=n, proxy_threshold=0.0) for n in range(4)]
        assert [pruning.architecture.universal_blocks for pruning in left] == [
            (1, 2, 3, 4),
            (1, 2, 3),
            (1, 3),
            (1,),
        ]
        assert all(len(pruning.architecture.proxies) == 4 for pruning in left)
        assert all(pruning.restored == () for pruning in left)

    def test_removes_proxies_below_the_threshold(self):
        architecture = Architecture.full(2, None)
        gates = dict(zip(architecture.paths, (0.951, 0.049, 0.85, 0.05, 0.1), strict=True))
        left = prune(architecture, gates, num_blocks=0)  # 0.05 itself stays
        assert architecture.without(left.architecture.paths).paths == (Path.proxy(1, source=0),)
        left = prune(architecture, gates, num_blocks=0, proxy_threshold=0.1)
        assert left.architecture.proxies == (Path.proxy(2, source=0),)

    @pytest.mark.parametrize("seed", range(60))
    def test_is_what_survives_or_the_strongest_chain(self, seed):
        rng = np.random.default_rng(1000 + seed)
        architecture, gates = _random_case(seed)
        blocks = sorted((p for p in architecture.paths if p.universal), key=gates.__getitem__)
        num_blocks = int(rng.integers(0, len(blocks) + 1))
        threshold = float(rng.uniform(0.0, 0.8))
        pruning = prune(architecture, gates, num_blocks=num_blocks, proxy_threshold=threshold)

        weak = [p for p in architecture.paths if not p.universal and gates[p] < threshold]
        left = architecture.without([*blocks[:num_blocks], *weak])
        restored = ()
        if not surviving(left):
            spared = walks(architecture.without(blocks[:num_blocks])) or walks(architecture)
            chain = max(spared, key=lambda walk: math.prod(gates[path] for path in walk))
            restored = tuple(path for path in chain if path not in left.paths)
            left = Architecture(left.num_blocks, left.paths + restored)
            assert set(chain) <= set(pruning.architecture.paths)
        assert set(pruning.architecture.paths) == surviving(left)
        assert pruning.restored == restored

    def test_seeds_cover_both_outcomes(self):
        outcomes = set()
        for seed in range(20):
            architecture, gates = _random_case(seed)
            count = len(architecture.universal_blocks)
            outcomes.add(bool(prune(architecture, gates, num_blocks=count).restored))
        assert outcomes == {True, False}

    def test_disconnection_keeps_the_strongest_chain_of_what_may_stay(self):
        architecture = Architecture.full(2, None)
        gates = dict(zip(architecture.paths, (0.9, 0.1, 0.5, 0.2, 0.3), strict=True))
        # without the second block: 0.9 * 0.2 through the first and a proxy, 0.3 past both layers
        pruning = prune(architecture, gates, num_blocks=1, proxy_threshold=1.0)
        assert pruning.restored == (Path.proxy(2, source=0),)
        assert pruning.architecture.paths == pruning.restored

    def test_disconnection_keeps_blocks_where_no_proxy_leads_past_them(self):
        architecture = Architecture(2, (Path.block(1), Path.block(2), Path.proxy(2, source=1)))
        gates = dict(zip(architecture.paths, (1.0, 0.6, 0.4), strict=True))
        pruning = prune(architecture, gates, num_blocks=2)
        assert pruning.restored == (Path.block(1), Path.block(2))
        assert set(pruning.architecture.paths) == set(architecture.paths)

    def test_architecture_given_is_left_alone(self):
        architecture, gates = _random_case(3)
        before = architecture.as_dict()
        prune(architecture, gates, num_blocks=1, proxy_threshold=0.5)
        assert architecture.as_dict() == before

    @pytest.mark.parametrize("num_blocks", [-1, 4])
    def test_impossible_number_of_blocks_is_refused(self, num_blocks):
        architecture = Architecture.full(3, 1)
        gates = dict.fromkeys(architecture.paths, 0.5)
        message = rf"Cannot remove {num_blocks} universal blocks; expected 0 to 3"
        with pytest.raises(ValueError, match=message):
            prune(architecture, gates, num_blocks=num_blocks)

    @pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
    def test_impossible_threshold_is_refused(self, threshold):
        architecture = Architecture.full(3, 1)
        gates = dict.fromkeys(architecture.paths, 0.5)
        with pytest.raises(ValueError, match=rf"threshold is {threshold}; expected 0 to 1"):
            prune(architecture, gates, num_blocks=0, proxy_threshold=threshold)
