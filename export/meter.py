"""How long the pieces of a universal network take in LiteRT on this machine, and whole networks.

Networks of one universal network are made of the same few pieces. Each is measured once, kept in a
cache with the machine's fingerprint, and what a network of them will take is added up
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
from collections.abc import Callable, Iterator

import keras
import numpy as np

from export import benchmark
from export.tflite import single as tflite
from tailor_tf.method.folding import fold
from tailor_tf.network import costs, keys
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.factories import PlainLayers
from tailor_tf.network.graph import BlockGraph, build_network, classifier, follow
from tailor_tf.network.latencies import Latencies
from tailor_tf.network.layers import full_precision
from tailor_tf.support import files

PRECISIONS = ("float32", "int8")
ROUNDS = 15
_SAMPLES = 8  # random images from which int8 takes its ranges; they do not change the speed


def cache_folder() -> pathlib.Path:
    """Where latencies are kept: `tailor_tf/latencies` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "tailor_tf" / "latencies"


class Meter:
    """Measures networks over one universal network, one image at a time.

    Args:
        graph: the universal network's description.
        architecture: the paths that a student may have.
        num_classes: width of the classifier.
        precision: of the TFLite files, one of `PRECISIONS`.
        threads: of LiteRT.
        cache: folder of latencies measured before.
    """

    def __init__(
        self,
        graph: BlockGraph,
        architecture: Architecture,
        num_classes: int,
        *,
        precision: str = "float32",
        threads: int = 1,
        cache: str | os.PathLike | None = None,
    ):
        self.graph = graph
        self.architecture = architecture
        self.num_classes = num_classes
        self.precision = precision
        self.threads = threads
        self.cache = pathlib.Path(cache or cache_folder())
        self.measured_on = {**_machine(), "precision": precision, "threads": str(threads)}

    @functools.cached_property
    def latencies(self) -> Latencies:
        """Those of all pieces: from the cache, or measured now, which takes about a minute."""
        path = self.cache / f"{self._fingerprint()}.json"
        if path.exists():
            return Latencies.of_record(json.loads(path.read_text(encoding="utf-8")))
        print(f"Measuring the pieces of {self.graph.name} in LiteRT.", flush=True)
        found = self._measure_pieces()
        files.write_text(path, json.dumps(dataclasses.asdict(found), indent=1) + "\n")
        return found

    @full_precision()
    def measure(self, network: keras.Model) -> float:
        """Median latency of a network for one image, milliseconds.

        Args:
            network: functional, from images to logits, of stock Keras layers.
        """
        return 1e3 * float(np.median(_times({0: self._runner(network)})[0]))

    @full_precision()
    def _measure_pieces(self) -> Latencies:
        pieces = dict(self._pieces())
        alike = {_kind(network): name for name, network in pieces.items()}
        whole = build_network(self.graph, self.num_classes, layers=PlainLayers())
        networks = {name: pieces[name] for name in alike.values()}
        runners = {name: self._runner(model, inner=True) for name, model in networks.items()}
        x = keras.Input((1, 1, 1))
        runners["call"] = self._runner(keras.Model(x, keras.layers.ReLU()(x)), inner=True)
        runners["network"] = self._runner(keras.Model(whole.input, whole.output["logits"]))
        times = _times(runners)
        medians = {name: 1e3 * float(np.median(found)) for name, found in times.items()}
        call = medians["call"]
        return Latencies(
            {name: medians[alike[_kind(piece)]] - call for name, piece in pieces.items()},
            medians["network"],
            call,
            self.graph.num_blocks,
            self.measured_on,
        )

    def _pieces(self) -> Iterator[tuple[str, keras.Model]]:
        """Each piece as a network of its own, by its name in `Latencies`."""
        graph, layers = self.graph, PlainLayers()
        x = keras.Input(graph.input_shape)
        yield keys.STEM, keras.Model(x, graph.stem(x, layers))
        x = keras.Input(graph.node_shape(graph.num_blocks))
        logits = classifier(self.num_classes)(graph.head(x, PlainLayers()))
        yield keys.HEAD, keras.Model(x, logits)
        universal = map(Path.block, range(1, graph.num_blocks + 1))
        for path in dict.fromkeys((*universal, *self.architecture.paths)):
            x = keras.Input(graph.node_shape(path.source))
            yield path.name, keras.Model(x, follow(graph, path, x, PlainLayers()))
        for layer in range(1, graph.num_blocks + 1):
            x = keras.Input(graph.node_shape(layer))
            both = keras.layers.Add()([x, keras.layers.MaxPooling2D(1)(x)])
            yield keys.path_sum(layer), keras.Model(x, graph.activate(None)(both))

    def _runner(self, network: keras.Model, *, inner: bool = False) -> Callable[[], None]:
        """A call of a network; what goes into and out of an inner piece has its precision."""
        from ai_edge_litert.interpreter import Interpreter

        rng = np.random.default_rng(0)
        shape = (_SAMPLES, 1, *network.input.shape[1:])
        samples = rng.normal(size=shape).astype(np.float32)
        content = tflite.convert(
            fold(network), self.precision, representative=samples, integer_io=inner
        )
        interpreter = Interpreter(model_content=content, num_threads=self.threads)
        interpreter.allocate_tensors()
        (images,), (logits,) = interpreter.get_input_details(), interpreter.get_output_details()

        values = samples[0].astype(images["dtype"])

        def run() -> None:
            interpreter.set_tensor(images["index"], values)
            interpreter.invoke()
            interpreter.get_tensor(logits["index"])

        return run

    def _fingerprint(self) -> str:
        """What the latencies depend on."""
        facts = {
            "graph": [self.graph.name, dict(self.graph.config), self.graph.input_shape],
            "paths": [path.as_list() for path in self.architecture.paths],
            "classes": self.num_classes,
            "measured_on": self.measured_on,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _times(runners: dict) -> dict:
    """Seconds of many calls of each, in turns."""
    calls = {name: (lambda _, run=run: run(), None) for name, run in runners.items()}
    return benchmark.interleaved(calls, ROUNDS)


def _kind(network: keras.Model) -> tuple:
    """Pieces of one kind take the same time."""
    layers = [(type(layer), layer.output.shape) for layer in network.layers]
    return costs.multiply_adds(network), costs.parameters(network), tuple(map(str, layers))


def _machine() -> dict[str, str]:
    """Processor and runtime: what a latency holds for."""
    name = platform.processor() or platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text(encoding="utf-8").splitlines())
        name = next((v.strip() for k, _, v in lines if k.strip() == "model name"), name)
    runtime = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
    return {"processor": name, "processors": str(os.cpu_count()), "runtime": runtime}
