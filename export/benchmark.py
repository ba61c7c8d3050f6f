"""Latency and memory of artifacts, of the tailored network and of its teacher.

The networks take turns, a few calls each, so that other work of the machine slows all of them
alike; the ratio of two latencies is the figure to look at.
"""

import dataclasses
import functools
import importlib
import itertools
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from export import formats, sizes
from tailor_tf.support import drawing, measuring

BATCHES = (1, 32)
THREADS = (1, 2)
ROUNDS = 12
TURN_SECONDS = 0.04

_NO_SETTING = 0  # number of threads of runtimes that have no such setting
_Key = tuple[str, str]  # network and artifact


@dataclasses.dataclass(frozen=True)
class Result:
    """Measurements of one artifact.

    Attributes:
        network: "tailored" or "teacher".
        artifact: name of the artifact, such as "tflite int8".
        batch: images of a call.
        threads: threads of the runtime; 0 where it has no setting of its own.
        median: median latency of a call, milliseconds.
        p90: its 90th percentile, milliseconds.
        bytes: size on disk.
        peak_memory: resident memory that loading and one call add to a process, bytes.
    """

    network: str
    artifact: str
    batch: int
    threads: int
    median: float
    p90: float
    bytes: int
    peak_memory: int


def run(
    networks: Mapping[str, Mapping[str, pathlib.Path]],
    images: np.ndarray,
    *,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] = THREADS,
    rounds: int = ROUNDS,
) -> list[Result]:
    """Measures artifacts of several networks in turns.

    Args:
        networks: paths of artifacts, by network and artifact.
        images: uint8 `[images, height, width, 3]`, one at least.
        batches: numbers of images of a call.
        threads: numbers of threads, for runtimes that have such a setting.
        rounds: turns of each.
    """
    paths = {(n, a): path for n, artifacts in networks.items() for a, path in artifacts.items()}
    taken = {key: (sizes.on_disk(path), _peak_memory(path, images)) for key, path in paths.items()}
    results = []
    for artifact in dict.fromkeys(artifact for _, artifact in paths):
        alike = {key: path for key, path in paths.items() if key[1] == artifact}
        for count, batch in itertools.product(_threads(alike.values(), threads), batches):
            chosen = np.resize(images, (batch, *images.shape[1:]))
            latencies = _latencies(alike, chosen, count, rounds)
            results += [Result(*key, batch, count, *latencies[key], *taken[key]) for key in alike]
    return results


def _threads(paths: Iterable[pathlib.Path], wanted: Sequence[int]) -> Sequence[int]:
    """Numbers of threads to measure artifacts of one kind with."""
    settable = all(formats.family_of(path).has_threads for path in paths)
    return wanted if settable else [_NO_SETTING]


def _latencies(
    paths: Mapping[_Key, pathlib.Path], images: np.ndarray, threads: int, rounds: int
) -> dict[_Key, tuple[float, float]]:
    """Median and 90th percentile of the latency of a call, milliseconds."""
    calls = {}
    for key, path in paths.items():  # loaded anew: the size of its batches belongs to a runtime
        runtime = formats.load(path, threads=max(threads, 1))
        calls[key] = functools.partial(runtime.run, runtime.prepare(images))
    times = measuring.in_turns(calls, turns=rounds, seconds=TURN_SECONDS)
    found = {key: np.percentile(own.calls, [50, 90]) * 1e3 for key, own in times.items()}
    return {key: (float(median), float(p90)) for key, (median, p90) in found.items()}


def _peak_memory(path: pathlib.Path, images: np.ndarray) -> int:
    """Bytes of resident memory that an artifact and a call for one image add to a process."""
    arguments = os.fspath(path), images[:1]
    return measuring.in_fresh_process(_added_memory, *arguments, preload=[__name__])


def _added_memory(path: str, images: np.ndarray) -> int:
    for module in formats.family_of(path).modules:
        importlib.import_module(module)  # which takes memory however small the network is
    before = measuring.resident_memory()
    formats.load(path).logits(images)
    return max(measuring.peak_memory() - before, 0)


def ratios(results: Sequence[Result]) -> dict[tuple[str, int, int], float]:
    """Median latency of the tailored network over the teacher's, by artifact, batch and threads."""
    median = {(r.network, r.artifact, r.batch, r.threads): r.median for r in results}
    return {
        key: value / median["teacher", *key]
        for (network, *rest), value in median.items()
        if network == "tailored" and ("teacher", *(key := tuple(rest))) in median
    }


def table(results: Sequence[Result]) -> list[list[str]]:
    """Rows of a table, the header first."""
    found = ratios(results)
    header = ["network", "artifact", "batch", "threads", "median (ms)", "90th percentile (ms)"]
    rows = [[*header, "teacher's times", "size (KB)", "memory (MB)"]]
    for result in results:
        ratio = found.get((result.artifact, result.batch, result.threads))
        rows.append(
            [
                result.network,
                result.artifact,
                str(result.batch),
                str(result.threads or "-"),
                f"{result.median:.2f}",
                f"{result.p90:.2f}",
                f"{ratio:.2f}" if ratio and result.network == "tailored" else "",
                f"{result.bytes / 1e3:,.0f}",
                f"{result.peak_memory / 1e6:.0f}",
            ]
        )
    return rows


def draw(results: Sequence[Result], path: pathlib.Path) -> None:
    """Draws median latencies of one image on one thread, tailored beside teacher."""
    from matplotlib.figure import Figure

    shown = [r for r in results if r.batch == 1 and r.threads in (_NO_SETTING, 1)]
    artifacts = list(dict.fromkeys(r.artifact for r in shown))
    networks = list(dict.fromkeys(r.network for r in shown))
    figure = Figure(figsize=(7, 0.8 + 0.5 * len(artifacts)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(networks)
    for place, network in enumerate(networks):
        own = {r.artifact: r for r in shown if r.network == network}
        where = [artifacts.index(artifact) + place * height for artifact in own]
        bars = axes.barh(where, [r.median for r in own.values()], height, label=network)
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.set_yticks(np.arange(len(artifacts)) + height * (len(networks) - 1) / 2, artifacts)
    axes.invert_yaxis()
    axes.set_xlabel("median latency of one image, one thread (ms)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    drawing.save(figure, path)
