"""Many tasks in one artifact against one artifact per task: bytes on disk, memory, latency.

    python -m benchmarks.bundle_formats --task_packs=runs/a/task_pack.safetensors,runs/b/...

Tasks are in the order of their packs. Their names contain their numbers, so that a pack may be
given twice. Separate artifacts are as from pipelines.export, with everything folded. Each figure
of memory and latency is from a new process. Memory is the resident memory without the runtime
itself, after one prediction of each task.
"""

import functools
import itertools
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from absl import flags

from export import formats, shared_tasks, sizes
from export.onnx import shared as shared_onnx
from export.onnx import single as onnx
from export.runtimes import Runtime
from export.saved_model import shared as shared_saved_model
from export.saved_model import single as saved_model
from pipelines.common import paths, program, universal, values
from tailor_tf import TailoredTask, load_task_pack
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.support import measuring
from tailor_tf.support.errors import TailorError
from tailor_tf.support.text import aligned

FLAGS = flags.FLAGS
universal.define()
paths.define_list("task_packs", paths.FILE, "Files of task packs.", required=True)
values.define_numbers(
    "counts",
    [1, 2, 4, 8, 16],
    "Numbers of tasks, in ascending order.",
    kind=int,
    least=1,
    most=values.MANY,
)
values.define_integer(
    "rounds", 40, "Calls of each task in a measurement of latency.", least=1, most=values.MANY
)

FORMATS = ("SavedModel", "ONNX")
ALLOWANCE = {"SavedModel": 256 * 1024, "ONNX": 64 * 1024}  # bytes on top of 1.1 x the parameters
_PRELOADED = ["export.formats", "onnxruntime"]

Answer = Callable[[], object]  # one image, one task


def _answers(kind: str, folder: pathlib.Path) -> list[Answer]:
    """Loads all tasks of a folder; returns a function per task that predicts one random image."""
    rng = np.random.default_rng(0)

    def of_runtime(runtime: Runtime) -> Answer:
        side = runtime.info.preprocessing.resize
        image = runtime.prepare(rng.integers(0, 256, (1, side, side, 3), np.uint8))
        return functools.partial(runtime.run, image)

    if kind.endswith("shared"):
        return [of_runtime(runtime) for runtime in formats.load_shared(folder).values()]
    return [of_runtime(formats.load(path)) for path in sorted(folder.iterdir())]


def _measure(kind: str, folder: pathlib.Path, rounds: int) -> tuple[int, float, float]:
    """Resident bytes of the tasks, and median seconds of repeated and of alternating calls."""
    tf.nn.conv2d(tf.zeros([1, 8, 8, 3]), tf.zeros([3, 3, 3, 8]), 1, "SAME")  # starts TensorFlow
    before = measuring.resident_memory()
    answers = _answers(kind, folder)
    for answer in answers:
        answer()
    memory = measuring.resident_memory() - before
    order = {
        "repeated": [answer for answer in answers for _ in range(rounds)],
        "switched": [answer for _ in range(rounds) for answer in answers],
    }
    for answer in answers * 2:
        answer()
    repeated, switched = (
        np.median([measuring.seconds_of(a) for a in calls]) for calls in order.values()
    )
    return memory, float(repeated), float(switched)


def _write_separate(tasks: Mapping[str, TailoredTask], folders: Mapping[str, pathlib.Path]) -> None:
    for name, task in tasks.items():
        info, folded = shared_tasks.info(name, task), fold(compact(task.student))
        saved_model.save(folders["SavedModel"] / name, folded, info)
        (folders["ONNX"] / f"{name}.onnx").write_bytes(onnx.convert(folded, info))


def _linked(paths: list[pathlib.Path], folder: pathlib.Path) -> pathlib.Path:
    """A folder with links to some files of another folder."""
    folder.mkdir()
    for path in paths:
        (os.symlink if path.is_dir() else os.link)(path, folder / path.name)
    return folder


def _load(paths: list[str]) -> dict[str, TailoredTask]:
    network = universal.load()
    loaded = [load_task_pack(path, network) for path in paths]
    return {f"{index:02}_{found.info.name}": found for index, found in enumerate(loaded, start=1)}


def _bytes(paths: list[pathlib.Path]) -> int:
    return sum(map(sizes.on_disk, paths))


def _together(
    tasks: Mapping[str, TailoredTask], count: int, folder: pathlib.Path
) -> dict[str, pathlib.Path]:
    """The first tasks in both shared formats; ONNX files do not depend on the other tasks."""
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
    program.no_arguments(argv)
    counts = FLAGS.counts
    if counts != sorted(set(counts)) or counts[-1] > len(FLAGS.task_packs):
        raise TailorError(
            f"--counts is {FLAGS.counts}; expected numbers in ascending order, at most "
            f"{len(FLAGS.task_packs)}, the number of --task_packs."
        )
    tasks = _load(FLAGS.task_packs[: counts[-1]])
    own = [
        sum(variable.numpy().nbytes for variable in task.student.task_weights().values())
        for task in tasks.values()
    ]
    disk = [["tasks", "format", "together (MB)", "separate (MB)", "one more task (KB)", "bound"]]
    use = [["tasks", "format", "together (MB)", "separate (MB)", "together (ms)", "switched (ms)"]]
    use[0].append("separate (ms)")
    with tempfile.TemporaryDirectory() as place:
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
                found = [_in_fresh_process(kind, path) for kind, path in kinds.items()]
                memory = _megabytes(*(memory for memory, *_ in found))
                times = [found[0][1], found[0][2], found[1][1]]
                use.append([str(count), name, *memory, *(f"{1e3 * t:.2f}" for t in times)])
            before = count
    print("\n".join(aligned(disk, 2)), "", "\n".join(aligned(use, 2)), sep="\n")


def _in_fresh_process(kind: str, folder: pathlib.Path) -> tuple[int, float, float]:
    return measuring.in_fresh_process(_measure, kind, folder, FLAGS.rounds, preload=_PRELOADED)


def _megabytes(*counts: int) -> list[str]:
    return [f"{count / 1e6:.2f}" for count in counts]


if __name__ == "__main__":
    program.run(main)
