"""Latencies of networks in LiteRT on this machine: of their pieces, and of whole networks.

Networks over one universal network are made of the same few pieces. Each piece is measured once and
kept in a cache with the machine's fingerprint; the latency of a network is predicted as their sum
(`tailor_tf.network.latencies`).
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Callable, Hashable, Iterator, Mapping

import keras
import numpy as np

from export.tflite import single as tflite
from tailor_tf.method.folding import fold
from tailor_tf.network import counting, keys
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.factories import PlainLayers
from tailor_tf.network.graph import BlockGraph, add_path, build_network, classifier
from tailor_tf.network.latencies import Latencies
from tailor_tf.network.layers import full_precision
from tailor_tf.support import extras, files, measuring

PRECISIONS = ("float32", "int8")
ROUNDS = 15
TURN_SECONDS = 0.04

_CALL, _NETWORK = "call", "network"  # are measured besides the pieces
_SAMPLES = 8  # random images from which int8 takes its ranges; they do not change the speed


def cache_folder() -> pathlib.Path:
    """Folder of latencies that were measured: `tailor_tf/latencies` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "tailor_tf" / "latencies"


@dataclasses.dataclass(frozen=True, eq=False)
class Meter:
    """Measures networks over one universal network, one image at a time.

    Attributes:
        graph: the universal network's description.
        architecture: the paths that a student may have.
        num_classes: width of the classifier.
        precision: precision of the TFLite files, one of `PRECISIONS`.
        threads: threads of LiteRT.
        cache: folder of latencies that were measured before.

    Raises:
        extras.MissingPackageError: LiteRT is not installed.
    """

    graph: BlockGraph
    architecture: Architecture
    num_classes: int
    _: dataclasses.KW_ONLY
    precision: str = "float32"
    threads: int = 1
    cache: pathlib.Path = dataclasses.field(default_factory=cache_folder)

    def __post_init__(self):
        extras.require("ai_edge_litert")

    @functools.cached_property
    def measured_on(self) -> Mapping[str, str]:
        """Processor, runtime, precision and threads that the latencies hold for."""
        return {**machine(), "precision": self.precision, "threads": str(self.threads)}

    @property
    def cache_path(self) -> pathlib.Path:
        """File of the latencies, named by everything that they depend on."""
        facts = {
            "pieces": "own heads",  # earlier versions did not measure these
            "graph": [self.graph.name, dict(self.graph.config), self.graph.input_shape],
            "paths": [path.as_list() for path in self.architecture.paths],
            "classes": self.num_classes,
            "measured_on": self.measured_on,
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return self.cache / f"{key}.json"

    def latencies(self) -> Latencies:
        """Latencies of all pieces: from the cache, or measured now, which takes about a minute."""
        path = self.cache_path
        if path.exists():
            return Latencies.from_dict(json.loads(path.read_text(encoding="utf-8")))
        print(f"Measuring the pieces of {self.graph.name} in LiteRT.", flush=True)
        found = self._measured_pieces()
        files.write_text(path, json.dumps(found.as_dict(), indent=1) + "\n")
        return found

    @full_precision()
    def measure(self, network: keras.Model) -> float:
        """Median latency of a network for one image, milliseconds.

        Args:
            network: functional, from images to logits, of stock Keras layers.
        """
        (median,) = self._medians({_NETWORK: self._call(network)}).values()
        return median

    @full_precision()
    def _measured_pieces(self) -> Latencies:
        networks = dict(_pieces(self.graph, self.architecture, self.num_classes))
        alike = {_kind(network): name for name, network in networks.items()}
        calls = {name: self._call(networks[name], inner=True) for name in alike.values()}
        calls[_CALL] = self._call(_nothing(), inner=True)
        calls[_NETWORK] = self._call(_whole(self.graph, self.num_classes))
        medians = self._medians(calls)
        call = medians[_CALL]
        return Latencies(
            {name: medians[alike[_kind(network)]] - call for name, network in networks.items()},
            medians[_NETWORK],
            call,
            self.graph.num_blocks,
            self.measured_on,
        )

    def _medians(self, calls: Mapping[str, Callable[[], None]]) -> dict[str, float]:
        """Median milliseconds of each call, in turns."""
        times = measuring.in_turns(calls, turns=ROUNDS, seconds=TURN_SECONDS)
        return {name: 1e3 * float(np.median(own.calls)) for name, own in times.items()}

    def _call(self, network: keras.Model, *, inner: bool = False) -> Callable[[], None]:
        """A call of a network in LiteRT, for one image.

        Args:
            network: functional, of stock Keras layers.
            inner: whether it is a piece of a network: its input and output have its precision.
        """
        from ai_edge_litert.interpreter import Interpreter

        shape = (_SAMPLES, 1, *network.input.shape[1:])
        samples = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        content = tflite.convert(
            fold(network), self.precision, representative=samples, integer_io=inner
        )
        interpreter = Interpreter(model_content=content, num_threads=self.threads)
        interpreter.allocate_tensors()
        (images,), (logits,) = interpreter.get_input_details(), interpreter.get_output_details()
        values = samples[0].astype(images["dtype"])

        def call() -> None:
            interpreter.set_tensor(images["index"], values)
            interpreter.invoke()
            interpreter.get_tensor(logits["index"])

        return call


def _pieces(
    graph: BlockGraph, architecture: Architecture, num_classes: int
) -> Iterator[tuple[str, keras.Model]]:
    """Each piece as a network of its own, by its name in `Latencies`."""
    layers = PlainLayers()
    x = keras.Input(graph.input_shape)
    yield keys.STEM, keras.Model(x, graph.stem(x, layers))
    x = keras.Input(graph.node_shape(graph.num_blocks))
    yield keys.HEAD, keras.Model(x, classifier(num_classes)(graph.head(x, layers)))
    for node in range(1, graph.num_blocks):
        for channels in (0, graph.own_head_channels(node)):
            x = keras.Input(graph.node_shape(node))
            logits = classifier(num_classes)(graph.read_out(x, node, layers, channels))
            yield keys.exit_behind(node, channels), keras.Model(x, logits)
    universal = map(Path.block, range(1, graph.num_blocks + 1))
    weighted = (path for path in architecture.paths if not path.identity)
    for path in dict.fromkeys((*universal, *weighted)):
        x = keras.Input(graph.node_shape(path.source))
        yield path.name, keras.Model(x, add_path(graph, path, x, layers))
    for layer in range(1, graph.num_blocks + 1):
        x = keras.Input(graph.node_shape(layer))
        both = keras.layers.Add()([x, keras.layers.MaxPooling2D(1)(x)])
        yield keys.path_sum(layer), keras.Model(x, graph.activate(None)(both))


def _nothing() -> keras.Model:
    """A network with next to nothing in it: its latency is the cost of a call."""
    x = keras.Input((1, 1, 1))
    return keras.Model(x, keras.layers.ReLU()(x))


def _whole(graph: BlockGraph, num_classes: int) -> keras.Model:
    """The universal network from images to logits."""
    model = build_network(graph, num_classes, layers=PlainLayers())
    return keras.Model(model.input, model.output["logits"])


def _kind(network: keras.Model) -> Hashable:
    """A key that is the same for pieces of one kind, which take the same time."""
    layers = [(type(layer), layer.output.shape) for layer in network.layers]
    return counting.multiply_adds(network), counting.parameters(network), tuple(map(str, layers))


def machine() -> dict[str, str]:
    """Processor and runtime that a latency holds for."""
    name = platform.processor() or platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text(encoding="utf-8").splitlines())
        name = next((v.strip() for k, _, v in lines if k.strip() == "model name"), name)
    runtime = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
    return {"processor": name, "processors": str(os.cpu_count()), "runtime": runtime}
