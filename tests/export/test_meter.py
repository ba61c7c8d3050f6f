"""Predicted latencies against sums by hand, and measured ones against the clock."""

import dataclasses
import hashlib
import itertools
import json

import keras
import pytest

from export import meter
from tailor_tf.method.compaction import compact
from tailor_tf.method.pruning import close
from tailor_tf.network import costs
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.cost import COUNTS
from tailor_tf.network.latencies import Latencies
from tailor_tf.support import measuring
from tailor_tf.support.errors import TailorError
from tests import builders

FULL = Architecture.full(2, 2)
PIECES = {"stem": 1.0, "head": 2.0, "block1": 10.0, "block2": 20.0}
PIECES |= {"block1_proxy0": 0.5, "block2_proxy1": 0.25, "block2_proxy0": 0.125}
PIECES |= {"block1_sum": 0.1, "block2_sum": 0.2, "exit1": 0.5}
# alone 33 ms; in the network 66 and one more for the call: everything takes twice as long
LATENCIES = Latencies(PIECES, 67.0, 1.0, 2, {"processor": "some", "threads": "1"})


def test_a_student_is_its_pieces():
    assert LATENCIES.scale == 2.0
    assert LATENCIES.student(Architecture(2, ())) == 1 + 2 * (1 + 2)
    chain = Architecture(2, (Path.proxy(1, source=0), Path.block(2)))
    assert LATENCIES.student(chain) == 1 + 2 * (1 + 2 + 0.5 + 20)
    both = Architecture(2, (Path.block(1), Path.proxy(1, source=0), Path.block(2)))
    assert LATENCIES.student(both) == pytest.approx(1 + 2 * (1 + 2 + 10 + 0.5 + 0.1 + 20))


def test_a_path_and_the_universal_network():
    assert LATENCIES.path(Path.block(2)) == 40.0
    assert LATENCIES.path(Path.proxy(2, source=0)) == pytest.approx(2 * (0.125 + 0.2))
    assert LATENCIES.universal == 67 - 1 - 2 * 2


def test_networks_that_end_early():
    assert LATENCIES.whole(2) == 67.0
    assert LATENCIES.whole(1) == 1 + 2 * (1 + 10 + 0.5)
    short = Architecture(2, (Path.block(1), Path.proxy(1, source=0)), depth=1)
    assert LATENCIES.student(short) == pytest.approx(1 + 2 * (1 + 0.5 + 10 + 0.5 + 0.1))


def test_an_identity_takes_no_time():
    assert LATENCIES.path(Path.same(2)) == 0
    both = Architecture(2, (Path.block(1), Path.block(2)))
    beside = both.with_paths((*both.paths, Path.same(2)))
    assert LATENCIES.student(beside) == LATENCIES.student(both)
    alone = Architecture(2, (Path.block(1), Path.same(2)))
    assert LATENCIES.student(alone) == 1 + 2 * (1 + 10 + 2)


def test_a_record_gives_them_back():
    record = json.loads(json.dumps({"layout": 2, **LATENCIES.as_dict()}))
    assert Latencies.from_dict(record) == LATENCIES


def _cost(graph, architecture):
    return costs.student_cost(graph, architecture, 5, _of_small_graph(graph))


def _of_small_graph(graph):
    full = Architecture.full(graph.num_blocks, 2)
    names = ["stem", "head", "exit1", *(path.name for path in full.paths)]
    names += [f"block{layer}_sum" for layer in full.layers]
    pieces = {name: 1.0 + 0.37 * index for index, name in enumerate(names)}
    return Latencies(pieces, 60.0, 0.5, graph.num_blocks, {})


def test_the_fastest_network_is_that_of_brute_force():
    graph, full = builders.small_graph(), Architecture.full(4, 2)
    possible = (
        close(Architecture(4, chosen))
        for number in range(1, 5)
        for chosen in itertools.combinations(full.paths, number)
    )
    fastest = min(_cost(graph, a).latency_ms for a in possible if a.paths)
    least = costs.smallest(graph, full, 5, "latency_ms", _of_small_graph(graph))
    assert least == pytest.approx(fastest)


@pytest.mark.parametrize("count", COUNTS)
def test_shares_are_of_stem_and_blocks(count):
    graph, full = builders.small_graph(), Architecture.full(4, 2)
    latencies = _of_small_graph(graph)
    shares = costs.path_shares(graph, full, count, latencies)
    none = getattr(_cost(graph, Architecture(4, ())), count)
    for path in full.paths:
        # What a network has of a path alone, which leads nowhere, is that path's.
        alone = getattr(_cost(graph, Architecture(4, (path,))), count) - none
        if count == "latency_ms" and not path.universal:
            alone += latencies.scale * latencies.pieces[f"block{path.target}_sum"]
        whole = costs.universal_complexity(graph, count, latencies)
        assert shares[path] == pytest.approx(alone / whole)


def test_latency_that_nobody_measured():
    graph = builders.small_graph()
    with pytest.raises(TailorError, match=r"Latency is asked for and none was measured"):
        costs.path_shares(graph, Architecture.full(4, 2), "latency_ms")


@pytest.fixture
def measurements(monkeypatch):
    """Meters that have measured; a measurement takes no time here, and differs from all others."""
    done = []

    def measured(self):
        done.append(self)
        return Latencies(PIECES, 67.0 + len(done), 1.0, 2, self.measured_on)

    monkeypatch.setattr(meter.Meter, "_measured_pieces", measured)
    monkeypatch.setattr(meter, "machine", lambda: {"processor": "some", "runtime": "LiteRT 1"})
    return done


class TestCache:
    @pytest.fixture
    def make(self, tmp_path):
        """A meter, by default the same one, over one cache."""
        graph = builders.small_graph()
        by_default = {
            "graph": graph,
            "architecture": Architecture.full(4, 2),
            "num_classes": 5,
            "cache": tmp_path,
        }
        return lambda **options: meter.Meter(**{**by_default, **options})

    def test_nothing_is_measured_before_it_is_asked_for(self, make, measurements):
        made = make()
        assert made.measured_on["processor"] == "some"
        assert made.cache_path and measurements == []

    def test_the_same_is_measured_once(self, make, measurements):
        first = make().latencies()
        assert make().latencies() == first
        assert len(measurements) == 1
        assert first.measured_on == {
            "processor": "some",
            "runtime": "LiteRT 1",
            "precision": "float32",
            "threads": "1",
        }

    @pytest.mark.parametrize(
        "other",
        [
            {"precision": "int8"},
            {"threads": 2},
            {"num_classes": 6},
            {"architecture": Architecture.full(4, 3)},
            {"graph": builders.small_graph()},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_something_else_is_measured_anew(self, make, measurements, other):
        if "graph" in other:
            config = {"name": "small", "width": 2.0}
            other = {"graph": dataclasses.replace(other["graph"], config=config)}
        first = make().latencies()
        assert make(**other).latencies() != first
        assert len(measurements) == 2
        assert make().latencies() == first
        assert len(measurements) == 2, "the one before is still known"

    @pytest.mark.parametrize("fact", ["processor", "processors", "runtime"])
    def test_another_machine_is_measured_anew(self, make, measurements, monkeypatch, fact):
        first = make().latencies()
        facts = {"processor": "some", "runtime": "LiteRT 1", fact: "another"}
        monkeypatch.setattr(meter, "machine", lambda: facts)
        again = make().latencies()
        assert again != first and again.measured_on[fact] == "another"
        assert len(measurements) == 2

    def test_the_machine_is_described(self):
        assert set(meter.machine()) == {"processor", "processors", "runtime"}
        assert all(meter.machine().values())

    def test_names_of_files_follow_from_what_is_measured(self, make, measurements):
        """So that nothing is measured again after an update."""
        facts = {
            "classes": 5,
            "pieces": "own heads",
            "graph": ["small", {"name": "small"}, [8, 8, 3]],
            "measured_on": dict(make().measured_on),
            "paths": [
                [1, 0, True],
                [1, 0, False],
                [2, 1, True],
                [2, 1, False],
                [2, 0, False],
                [3, 2, True],
                [3, 2, False],
                [3, 1, False],
                [4, 3, True],
                [4, 3, False],
                [4, 2, False],
            ],
        }
        text = json.dumps(facts, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        assert make().cache_path.name == f"{name}.json"


@pytest.mark.slow
@pytest.mark.parametrize("precision", meter.PRECISIONS)
def test_pieces_are_measured_once_a_machine(tmp_path, precision, monkeypatch):
    graph, full = builders.small_graph(), Architecture.full(4, 2)
    found = meter.Meter(graph, full, 5, precision=precision, cache=tmp_path).latencies()
    names = {"stem", "head", "exit1", "exit2", "exit3", *(path.name for path in full.paths)}
    names |= {"exit1_8", "exit2_12", "exit3_12"}  # with heads of the task's own
    assert set(found.pieces) == names | {f"block{layer}_sum" for layer in range(1, 5)}
    assert found.network > found.call > 0
    assert found.measured_on["precision"] == precision and found.measured_on["processor"]
    again = meter.Meter(graph, full, 5, precision=precision, cache=tmp_path)
    monkeypatch.setattr(measuring, "in_turns", lambda *args, **kwargs: pytest.fail("again"))
    assert again.latencies() == found
    other = meter.Meter(graph, full, 5, precision=precision, threads=2, cache=tmp_path)
    assert other.cache_path != again.cache_path


def test_networks_trained_in_half_precision_are_measured_in_full(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "ROUNDS", 1)
    small = builders.universal(builders.small_graph(1), rng)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        architecture = Architecture.full(1, 1)
        network = compact(builders.random_student(small, architecture, rng, 5))
        measured = meter.Meter(small.graph, architecture, 5, cache=tmp_path)
        assert measured.measure(network) > 0
        assert measured.latencies().network > 0
        assert keras.config.dtype_policy().name == "mixed_bfloat16", "training goes on as before"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
