"""How fast artifacts are, and how much memory they take, beside those of the teacher.

The networks take turns, a few calls each, so that what else the machine does reaches all of them;
what counts is the ratio.
"""

import dataclasses
import importlib
import multiprocessing
import os
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from export import runtimes, sizes

BATCHES = (1, 32)
THREADS = (1, 2)
ROUNDS = 12
_ROUND_SECONDS = 0.04


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured of one artifact.

    Attributes:
        network: "tailored" or "teacher".
        artifact: such as "tflite int8".
        batch: images per call.
        threads: of the runtime; 0 where it has no setting of its own.
        median: median latency of a call, milliseconds.
        p90: its 90th percentile.
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
        networks: paths of artifacts by network and artifact.
        images: uint8 `[images, height, width, 3]`, at least one.
        batches: images per call.
        threads: of the runtimes that have such a setting.
        rounds: turns of each.
    """
    paths = {(n, a): path for n, artifacts in networks.items() for a, path in artifacts.items()}
    size = {key: sizes.on_disk(path) for key, path in paths.items()}
    memory = dict(zip(paths, _peak_memory(list(paths.values()), images[:1]), strict=True))
    results = []
    for artifact in dict.fromkeys(artifact for _, artifact in paths):
        keys = [key for key in paths if key[1] == artifact]
        is_model = any(paths[key].is_dir() for key in keys)
        for count in [0] if is_model else threads:
            for batch in batches:
                # Of each network its own runtime: a batch's size belongs to it.
                loaded = {key: runtimes.load(paths[key], threads=max(count, 1)) for key in keys}
                chosen = np.resize(images, (batch, *images.shape[1:]))
                calls = {key: (r.run, r.prepare(chosen)) for key, r in loaded.items()}
                times = _interleaved(calls, rounds)
                for key in keys:
                    median, p90 = np.percentile(times[key], [50, 90]) * 1e3
                    results.append(
                        Result(
                            *key, batch, count, float(median), float(p90), size[key], memory[key]
                        )
                    )
    return results


def _interleaved(calls, rounds: int) -> dict:
    times = {key: [] for key in calls}
    for turn in range(rounds + 1):
        for key, (call, argument) in calls.items():
            end = time.perf_counter() + _ROUND_SECONDS
            while True:
                started = time.perf_counter()
                call(argument)
                now = time.perf_counter()
                if turn:  # the first one warms up
                    times[key].append(now - started)
                if now >= end:
                    break
    return times


def _peak_memory(paths: Sequence[pathlib.Path], images: np.ndarray) -> list[int]:
    """Bytes of resident memory that each artifact and one call of it add to a fresh process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # what is imported is imported once
    with context.Pool(1, maxtasksperchild=1) as pool:
        return pool.starmap(_added_memory, [(os.fspath(p), images) for p in paths], chunksize=1)


def _added_memory(path: str, images: np.ndarray) -> int:
    for module in _needed(path):
        importlib.import_module(module)
    before = resident("VmRSS")
    runtimes.load(path).logits(images)
    return max(resident("VmHWM") - before, 0)


def _needed(path: str) -> tuple[str, ...]:
    """What a runtime costs however small the network is."""
    kinds = {".tflite": ("ai_edge_litert.interpreter",), ".onnx": ("onnxruntime", "onnx")}
    return kinds.get(pathlib.Path(path).suffix, ("tensorflow",))


def resident(field: str) -> int:
    """Resident memory of this process, bytes: "VmRSS" now, "VmHWM" at its highest."""
    lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return int(sizes[field].split()[0]) * 1024


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
    """Draws median latencies at batch 1 and one thread, tailored beside teacher, as SVG."""
    from matplotlib.figure import Figure

    shown = [r for r in results if r.batch == 1 and r.threads in (0, 1)]
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
    figure.savefig(path)
