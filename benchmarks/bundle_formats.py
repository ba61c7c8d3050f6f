"""Many tasks in one artifact against an artifact each: bytes on disk, memory, latency.

    python -m benchmarks.bundle_formats --task_packs=runs/a/task_pack.safetensors,runs/b/...

Tasks come in the order of their packs, each under a name with its number, so that a pack may be
named twice. Separate artifacts are those of pipelines.export: everything is folded. Every figure of
memory and latency is that of a fresh process; memory is what is resident beyond the runtime itself,
after one answer of each task.
"""

import contextlib
import functools
import itertools
import multiprocessing
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from absl import flags

from export import benchmark, runtimes, shared_tasks, sizes
from export.onnx import shared as shared_onnx
from export.onnx import single as onnx
from export.saved_model import shared as shared_saved_model
from export.saved_model import single as saved_model
from pipelines import common
from tailor_tf import load_task_pack, load_universal
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.method.student import task_weights
from tailor_tf.method.task_pack import Tailored
from tailor_tf.report.tables import aligned
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS
common.define_universal_flags()
flags.DEFINE_list("task_packs", None, "Files of task packs.", required=True)
flags.DEFINE_list("counts", ["1", "2", "4", "8", "16"], "Numbers of tasks, ascending.")
flags.DEFINE_integer("rounds", 40, "Calls of each task in a measurement of latency.")

FORMATS = ("SavedModel", "ONNX")
ALLOWANCE = {"SavedModel": 256 * 1024, "ONNX": 64 * 1024}  # bytes beside 1.1 times the parameters
_PRELOADED = [
    "export.onnx.shared",
    "export.saved_model.shared",
    "pipelines.common",
    "onnxruntime",
]

Answer = Callable[[], object]  # one image, one task


def _answers(kind: str, folder: pathlib.Path) -> list[Answer]:
    """Loads all tasks of a folder; what each of them does to answer for an image of noise."""
    rng = np.random.default_rng(0)

    def of_runtime(runtime: runtimes.Runtime) -> Answer:
        side = runtime.metadata.preprocessing.resize
        image = runtime.prepare(rng.integers(0, 256, (1, side, side, 3), np.uint8))
        return functools.partial(runtime.run, image)

    if kind == "ONNX shared":
        return [of_runtime(runtime) for runtime in shared_onnx.SharedSessions(folder).values()]
    if kind != "SavedModel shared":
        return [of_runtime(runtimes.load(path)) for path in sorted(folder.iterdir())]
    loaded, metadata = shared_saved_model.load(folder)

    def of_signature(name: str, side: int) -> Answer:
        image = tf.constant(rng.integers(0, 256, (1, side, side, 3), np.uint8))
        return lambda: loaded.signatures[name](images=image)["logits"].numpy()

    return [of_signature(name, found.preprocessing.resize) for name, found in metadata.items()]


def _measure(kind: str, folder: pathlib.Path, rounds: int) -> tuple[int, float, float]:
    """Resident bytes of the tasks; median seconds of repeated answers, and after another task."""
    tf.nn.conv2d(tf.zeros([1, 8, 8, 3]), tf.zeros([3, 3, 3, 8]), 1, "SAME")  # starts TensorFlow
    before = benchmark.resident("VmRSS")
    answers = _answers(kind, folder)
    for answer in answers:
        answer()
    memory = benchmark.resident("VmRSS") - before
    order = {
        "repeated": [answer for answer in answers for _ in range(rounds)],
        "switched": [answer for _ in range(rounds) for answer in answers],
    }
    for answer in answers * 2:
        answer()
    repeated, switched = (np.median([_seconds(a) for a in calls]) for calls in order.values())
    return memory, float(repeated), float(switched)


def _seconds(answer: Answer) -> float:
    started = time.perf_counter()
    answer()
    return time.perf_counter() - started


@contextlib.contextmanager
def _process() -> Iterator[Callable]:
    """Yields a function that runs another one in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)  # what is imported is imported once
    with context.Pool(1, maxtasksperchild=1) as pool:
        yield pool.apply


def _write_separate(tasks: Mapping[str, Tailored], folders: Mapping[str, pathlib.Path]) -> None:
    for name, tailored in tasks.items():
        metadata = shared_tasks.metadata(name, tailored)
        graph = tailored.universal.graph
        folded = fold(compact(tailored.student, graph, tailored.architecture))
        saved_model.save(folders["SavedModel"] / name, folded, metadata)
        (folders["ONNX"] / f"{name}.onnx").write_bytes(onnx.convert(folded, metadata))


def _linked(paths: list[pathlib.Path], folder: pathlib.Path) -> pathlib.Path:
    """A folder of some of the files of another one."""
    folder.mkdir()
    for path in paths:
        (os.symlink if path.is_dir() else os.link)(path, folder / path.name)
    return folder


def _load(paths: list[str]) -> dict[str, Tailored]:
    universal = load_universal(FLAGS.universal, **common.universal_config())
    loaded = [load_task_pack(path, universal) for path in paths]
    return {f"{index:02}_{found.name}": found for index, found in enumerate(loaded, start=1)}


def _bytes(paths: list[pathlib.Path]) -> int:
    return sum(map(sizes.on_disk, paths))


def _together(
    tasks: Mapping[str, Tailored], count: int, folder: pathlib.Path
) -> dict[str, pathlib.Path]:
    """The first tasks in both shared formats; ONNX files do not depend on what else there is."""
    some = dict(itertools.islice(tasks.items(), count))
    model, files, every = folder / f"model_{count}", folder / f"files_{count}", folder / "every"
    shared_saved_model.save(model, some)
    if not every.exists():
        every.mkdir()
        shared_onnx.save(every, tasks)
    kept = [p for p in every.iterdir() if p.suffix != ".onnx" or p.stem in some]
    return {"SavedModel": model, "ONNX": _linked(kept, files)}


def main(argv: list[str]) -> None:
    """Prints the tables, Markdown."""
    common.no_arguments(argv)
    counts = [int(count) for count in FLAGS.counts]
    if counts != sorted(set(counts)) or counts[-1] > len(FLAGS.task_packs):
        raise TailorError(
            f"--counts is {FLAGS.counts}; expected ascending numbers, no more than the "
            f"{len(FLAGS.task_packs)} of --task_packs."
        )
    tasks = _load(FLAGS.task_packs[: counts[-1]])
    own = [
        sum(variable.numpy().nbytes for variable in task_weights(tailored.student).values())
        for tailored in tasks.values()
    ]
    disk = [["tasks", "format", "together (MB)", "separate (MB)", "one more task (KB)", "bound"]]
    use = [["tasks", "format", "together (MB)", "separate (MB)", "together (ms)", "switched (ms)"]]
    use[0].append("separate (ms)")
    with tempfile.TemporaryDirectory() as place, _process() as fresh:
        folder = pathlib.Path(place)
        separate = {name: folder / name for name in FORMATS}
        for path in separate.values():
            path.mkdir()
        _write_separate(tasks, separate)
        last, before = dict.fromkeys(FORMATS, 0), 0
        for count in counts:
            shared = _together(tasks, count, folder)
            for name in FORMATS:
                alone = sorted(separate[name].iterdir())[:count]
                total, more = sizes.on_disk(shared[name]), count - before
                added = (total - last[name]) / more
                bound = 1.1 * sum(own[before:count]) / more + ALLOWANCE[name]
                growth = [f"{added / 1e3:,.0f}", f"{bound / 1e3:,.0f}"] if before else ["", ""]
                disk.append([str(count), name, *_megabytes(total, _bytes(alone)), *growth])
                last[name] = total
                some = _linked(alone, folder / f"separate_{name}_{count}")
                kinds = {f"{name} shared": shared[name], name: some}
                found = [fresh(_measure, (k, path, FLAGS.rounds)) for k, path in kinds.items()]
                memory = _megabytes(*(memory for memory, *_ in found))
                times = [found[0][1], found[0][2], found[1][1]]
                use.append([str(count), name, *memory, *(f"{1e3 * t:.2f}" for t in times)])
            before = count
    print("\n".join(aligned(disk, 2)), "", "\n".join(aligned(use, 2)), sep="\n")


def _megabytes(*counts: int) -> list[str]:
    return [f"{count / 1e6:.2f}" for count in counts]


if __name__ == "__main__":
    common.run(main)
