"""Many tasks in one process: switching between tasks, adding a task while others predict, memory.

    python -m benchmarks.bundle_runtime --task_packs=runs/a/task_pack.safetensors,...

The memory of one bundle is compared with the same number of bundles with one task each, and with
compact networks, each with a copy of its own blocks. If there are more tasks than packs, packs are
used several times under different names.
"""

import collections
import gc
import itertools
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.figures import spread
from pipelines.common import paths, program, universal, values
from tailor_tf import Bundle, Student, Universal
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tailor_tf.method.compaction import compact
from tailor_tf.support import measuring
from tailor_tf.support.text import aligned

FLAGS = flags.FLAGS

universal.define()
paths.define_list("task_packs", paths.FILE, "Task packs over the universal network.", required=True)
values.define_numbers(
    "tasks",
    [1, 2, 4, 8, 16],
    "Numbers of tasks to measure memory with.",
    kind=int,
    least=1,
    most=values.MANY,
)
_PARTS = ("switching", "adding", "memory")
values.define_names("parts", _PARTS, "Measurements to make.", _PARTS)
for _name, _default, _text in (
    ("threads", 8, "Threads that predict while a task is added."),
    ("changes", 5, "Number of times that a task is added and removed."),
    ("rounds", 100, "Switches between tasks, for each task."),
    ("repeats", 5, "Number of bundles loaded to measure their first predictions."),
):
    values.define_integer(_name, _default, _text, least=1, most=values.MANY)

_QUIET = 5.0  # seconds in which threads predict and the bundle does not change


def create(folder: pathlib.Path, network: Universal) -> dict[int, pathlib.Path]:
    """Makes bundles, by their numbers of tasks, and in `alone` one bundle for each task."""
    counts = FLAGS.tasks
    packs = [
        read_pack(path, network, f"task{number}")
        for number, path in zip(range(max(counts)), itertools.cycle(FLAGS.task_packs), strict=False)
    ]
    for number, pack in enumerate(packs):
        BundleStore.create(folder / "alone" / str(number), network, [pack])
    return {
        count: BundleStore.create(folder / str(count), network, packs[:count]).path
        for count in counts
    }


def photos(bundle: Bundle, batch: int = 1) -> np.ndarray:
    """Random images of the tasks' size, uint8 `[batch, height, width, 3]`."""
    side = next(iter(bundle.tasks.values())).info.preprocessing.resize
    return np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)


def switching(path: pathlib.Path) -> list[list[str]]:
    """Time of a task's first prediction against its next two, batch 1.

    Returns:
        A row for the first prediction after loading, and a row for the first one after another
        task: medians over all tasks, and the range over tasks of their ratios of medians.
    """
    rows = []
    loaded = [Bundle(path) for _ in range(FLAGS.repeats)]
    for what, bundles in (
        ("first after loading", loaded),
        ("first after another task", loaded[:1] * FLAGS.rounds),
    ):
        first, after = collections.defaultdict(list), collections.defaultdict(list)
        for bundle in bundles:
            images = photos(bundle)
            for name in bundle.tasks:
                first[name].append(measuring.seconds_of(bundle.predict, name, images))
                after[name] += [
                    measuring.seconds_of(bundle.predict, name, images) for _ in range(2)
                ]
        medians = [
            {name: 1e3 * np.median(t) for name, t in each.items()} for each in (first, after)
        ]
        ratios = [medians[0][name] / medians[1][name] for name in first]
        rows.append([what, *(f"{np.median([*m.values()]):.2f}" for m in medians), spread(ratios)])
    return rows


def adding(path: pathlib.Path) -> list[list[str]]:
    """Predictions of threads, first without changes, then while a task is added and removed.

    Returns:
        A row for each of the two: numbers of predictions, failures and wrong results, and times.
    """
    bundle = Bundle(path)
    images = photos(bundle)
    expected = {name: bundle.predict(name, images).logits for name in bundle.tasks}
    answers = {"nothing": [], "adding and removing a task": []}
    now, ended = "nothing", False

    def ask(names: Iterator[str]) -> None:
        while not ended:
            name, meanwhile, started = next(names), now, time.perf_counter()
            try:
                logits = bundle.predict(name, images).logits
                outcome = "right" if np.allclose(logits, expected[name], atol=1e-5) else "wrong"
            except Exception:  # errors of any class are counted
                outcome = "failed"
            answers[meanwhile].append((outcome, time.perf_counter() - started))

    with ThreadPoolExecutor(FLAGS.threads) as pool:
        for number in range(FLAGS.threads):
            pool.submit(ask, itertools.islice(itertools.cycle(expected), number, None))
        time.sleep(_QUIET)
        now = "adding and removing a task"
        for _ in range(FLAGS.changes):
            bundle.add(FLAGS.task_packs[-1], "added")
            bundle.remove("added")
        ended = True
    rows = []
    for what, seen in answers.items():
        count = collections.Counter(outcome for outcome, _ in seen)
        times = np.multiply([seconds for _, seconds in seen], 1e3)
        shown = [f"{end(times):.1f}" for end in (np.median, np.max)]
        rows.append([what, str(len(seen)), str(count["failed"]), str(count["wrong"]), *shown])
    return rows


def _added(load: Callable[[], object]) -> int:
    """Bytes of resident memory that the result of `load` takes in this process."""
    tf.zeros([1]).numpy()  # starts TensorFlow
    before = measuring.resident_memory()
    loaded = load()
    gc.collect()
    added = measuring.resident_memory() - before
    del loaded
    return added


def memory_of_bundles(paths: Sequence[pathlib.Path]) -> int:
    """Bytes that bundles take, after the prediction of each task that loading makes."""
    return _added(lambda: [Bundle(path) for path in paths])


def memory_of_networks(path: pathlib.Path) -> int:
    """Bytes that the tasks of a bundle take as compact networks, each traced and run once."""

    def load():
        store = BundleStore(path)
        network = store.universal()
        return [
            _compact(store.task(name, entry, network).student)
            for name, entry in store.read().tasks.items()
        ]

    return _added(load)


def _compact(student: Student) -> tuple[keras.Model, Callable]:
    graph, network = student.universal.graph, compact(student)
    answer = tf.function(lambda images: network(images, training=False))
    answer = answer.get_concrete_function(tf.TensorSpec([None, *graph.input_shape]))
    answer(tf.zeros([1, *graph.input_shape]))
    return network, answer


def memory(folder: pathlib.Path, bundles: dict[int, pathlib.Path]) -> list[list[str]]:
    """Rows by number of tasks: files and resident memory, each measured in a fresh process."""
    rows = []
    for count, path in bundles.items():
        alone = [folder / "alone" / str(number) for number in range(count)]
        sizes = [
            sum(BundleStore(each).read().total_bytes for each in paths) for paths in ([path], alone)
        ]
        added = [
            measuring.in_fresh_process(memory_of_bundles, [path]),
            measuring.in_fresh_process(memory_of_bundles, alone),
            measuring.in_fresh_process(memory_of_networks, path),
        ]
        rows.append([str(count), *(f"{value / 1e6:.1f}" for value in sizes + added)])
    return rows


def main(argv: list[str]) -> None:
    """Prints the tables, Markdown."""
    program.no_arguments(argv)
    network = universal.load()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        bundles = create(folder, network)
        largest = bundles[max(bundles)]
        if "switching" in FLAGS.parts:
            header = ["answer, batch 1", "it (ms)", "the next two (ms)", "ratio"]
            print("\n".join(aligned([header, *switching(largest)])), end="\n\n")
        if "adding" in FLAGS.parts:
            header = ["meanwhile", "answers", "failed", "wrong", "median (ms)", "highest (ms)"]
            print("\n".join(aligned([header, *adding(largest)])), end="\n\n")
        if "memory" in FLAGS.parts:
            kinds = ("bundle", "bundles of one", "compact networks")
            header = ["tasks", *(f"{kind}, files (MB)" for kind in kinds[:2])]
            header += [f"{kind}, memory (MB)" for kind in kinds]
            print("\n".join(aligned([header, *memory(folder, bundles)], 0)))


if __name__ == "__main__":
    program.run(main)
