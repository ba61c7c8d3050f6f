"""What many tasks cost in one TFLite file, beside a file each.

    python -m benchmarks.bundle_files \\
        --packs=runs/digits/task_pack.safetensors=digits,runs/dtd/task_pack.safetensors=folder:dtd

Each task pack is named with the images that calibrate its int8 file; the task is called what the
pack's folder is called. Tables are Markdown.
"""

import dataclasses
import functools
import importlib
import itertools
import math
import multiprocessing
import os
import pathlib
import tempfile
import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from absl import flags

from benchmarks.figures import spread
from export import benchmark, exportable, exporter, parity, runtimes
from export.tflite import kernels as tflite_kernels
from export.tflite import shared as shared_tflite
from export.tflite import single as tflite
from pipelines import common
from tailor_tf import Universal, data, load_universal
from tailor_tf.report.tables import aligned

FLAGS = flags.FLAGS
COUNTS = (1, 2, 4, 8, 16)
ROUNDS = 200
ROOM = 65536  # bytes that one more task may take besides 1.1 times its own parameters

flags.DEFINE_list("packs", None, "Task packs and their images, PACK=IMAGES.", required=True)
flags.DEFINE_list("precisions", ["int8", "float32", "float16"], "Some of those of TFLite.")
common.define_universal_flags()

Files = dict[str, dict[str, pathlib.Path]]  # by precision and task


@dataclasses.dataclass(frozen=True)
class Pack:
    """A task pack, made into TFLite files.

    Attributes:
        own: bytes of the task's own parameters as int8 files store them.
        kernels: bytes of each universal kernel that it uses.
        images: its test images, uint8 `[images, height, width, 3]`.
    """

    own: int
    kernels: Mapping[str, int]
    images: np.ndarray


def make(universal: Universal, folder: pathlib.Path) -> tuple[dict[str, Pack], Files]:
    """Exports the packs that the flags name."""
    packs, files = {}, {precision: {} for precision in FLAGS.precisions}
    for item in FLAGS.packs:
        path, _, images = item.partition("=")
        exported = exportable.from_task_pack(path, universal)
        name, preprocessing = pathlib.Path(path).parent.name, exported.metadata.preprocessing
        sides = {"image_size": preprocessing.image_size, "resize": preprocessing.resize}
        task = data.load_task(images, **sides)
        task = dataclasses.replace(task, preprocessing=preprocessing)
        for precision in FLAGS.precisions:
            network = tflite_kernels.folded(exported.network, precision)
            samples = exporter.calibration_images(task) if precision == "int8" else ()
            content = tflite.convert(network, precision, representative=samples)
            files[precision][name] = folder / f"{name}_{precision}.tflite"
            tflite.save(files[precision][name], content, exported.metadata)
        test = task.test or task.validation
        used = map(
            exported.network.get_layer, tflite_kernels.universal_convolutions(exported.network)
        )
        packs[name] = Pack(
            tflite_kernels.task_bytes(exported.network),
            {layer.name: math.prod(layer.kernel.shape) for layer in used},
            test.images[np.arange(len(test))],
        )
        keras.backend.clear_session()
    return packs, files


def bytes_table(files: Files, universal: Universal, folder: pathlib.Path) -> list[list[str]]:
    """Megabytes of one file and of separate ones, by precision and number of tasks.

    "As they are" is the same without kernels being made equal.
    """
    rows = [["precision", "tasks", "separate (MB)", "one file (MB)", "share", "as they are (MB)"]]
    for precision, own in files.items():
        for count in [c for c in COUNTS if c <= len(own)]:
            chosen = dict(itertools.islice(own.items(), count))
            sizes = shared_tflite.write(folder / f"{precision}_{count}.tflite", chosen, universal)
            contents = {name: path.read_bytes() for name, path in chosen.items()}
            separate = sum(sizes.separate.values())
            rows.append(
                [
                    precision,
                    str(count),
                    f"{separate / 1e6:.2f}",
                    f"{sizes.shared / 1e6:.2f}",
                    f"{sizes.shared / separate:.2f}",
                    f"{len(shared_tflite.merge(contents)) / 1e6:.2f}",
                ]
            )
    return rows


def cost_table(packs: Mapping[str, Pack], own: Mapping[str, pathlib.Path]) -> list[list[str]]:
    """Kilobytes that each task adds to the int8 file of all the others, and what it may add.

    Universal kernels that no other task uses come on top of that.
    """
    contents = {name: path.read_bytes() for name, path in own.items()}
    whole = len(shared_tflite.merge(contents))
    header = ["task", "own parameters (KB)", "bound (KB)", "cost (KB)", "universal kernels (KB)"]
    rows = [[*header, "cost / bound"]]
    for name, pack in packs.items():
        others = {other: content for other, content in contents.items() if other != name}
        known = {kernel for other in others for kernel in packs[other].kernels}
        new = sum(size for kernel, size in pack.kernels.items() if kernel not in known)
        cost = whole - len(shared_tflite.merge(others)) - new
        bound = 1.1 * pack.own + ROOM
        kilobytes = [f"{value / 1e3:.1f}" for value in (pack.own, bound, cost, new)]
        rows.append([name, *kilobytes, f"{cost / bound:.2f}"])
    return rows


def latency_table(files: Files, packs: Mapping[str, Pack], folder: pathlib.Path) -> list[list[str]]:
    """Median latency of one image, one thread, in turns: own file and file of all tasks."""
    rows = [["precision", "own file (ms), range of tasks", "ratio, range of tasks"]]
    for precision, own in files.items():
        shared = shared_tflite.load(folder / f"{precision}_{max_count(own)}.tflite")
        alone, ratios = [], []
        for name, runtime in shared.items():
            single = runtimes.load(own[name])
            image = single.prepare(packs[name].images[:1])
            medians = _medians([functools.partial(r.run, image) for r in (single, runtime)])
            alone.append(medians[0] * 1e3)
            ratios.append(medians[1] / medians[0])
        rows.append([precision, spread(alone), spread(ratios)])
    return rows


def max_count(own: Mapping) -> int:
    """The largest of `COUNTS` for which there are tasks."""
    return max(count for count in COUNTS if count <= len(own))


def _medians(calls: Sequence) -> list[float]:
    times = [[] for _ in calls]
    for turn in range(ROUNDS):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            if turn >= ROUNDS // 10:  # the first ones warm up
                taken.append(time.perf_counter() - started)
    return [float(np.median(taken)) for taken in times]


def agreement_table(
    own: Mapping[str, pathlib.Path], packs: Mapping[str, Pack], shared: pathlib.Path
) -> list[list[str]]:
    """Share of test images with the same top-1 class in the task's int8 file and in that of all."""
    rows = [["task", "test images", "same top-1 (%)", "largest difference of a logit"]]
    for name, runtime in shared_tflite.load(shared).items():
        images = packs[name].images
        expected, received = (
            parity.in_batches(r.logits, images) for r in (runtimes.load(own[name]), runtime)
        )
        same = np.mean(expected.argmax(-1) == received.argmax(-1))
        difference = np.abs(expected - received).max()
        rows.append([name, str(len(images)), f"{100 * same:.2f}", f"{difference:.1e}"])
    return rows


def memory_table(own: Mapping[str, pathlib.Path], folder: pathlib.Path) -> list[list[str]]:
    """Resident megabytes that loading int8 files and a call of every task add to a process."""
    header = ["tasks", "separate (MB)", "one file (MB)"]
    rows = [[*header, "separate, without XNNPACK (MB)", "one file, without XNNPACK (MB)"]]
    context = multiprocessing.get_context("spawn")
    for count in [c for c in COUNTS if c <= len(own)]:
        separate = [os.fspath(path) for path in itertools.islice(own.values(), count)]
        shared = [os.fspath(folder / f"int8_{count}.tflite")]
        cells = []
        for delegate, paths in itertools.product((True, False), (separate, shared)):
            with context.Pool(1) as pool:  # a process of its own for each
                cells.append(f"{pool.apply(_added_memory, (paths, delegate)) / 1e6:.1f}")
        rows.append([str(count), *cells])
    return rows


def _added_memory(paths: Sequence[str], delegate: bool) -> int:
    litert = importlib.import_module("ai_edge_litert.interpreter")
    kinds = litert.OpResolverType
    kind = kinds.AUTO if delegate else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    before, kept = benchmark.resident("VmRSS"), []
    for path in paths:
        interpreter = litert.Interpreter(path, experimental_op_resolver_type=kind, num_threads=1)
        for name in interpreter.get_signature_list():
            runner = interpreter.get_signature_runner(name)
            details = runner.get_input_details()["images"]
            runner(images=np.zeros(details["shape"], details["dtype"]))
            kept.append(runner)
    return benchmark.resident("VmRSS") - before


def main(argv: list[str]) -> None:
    """Prints the tables."""
    common.no_arguments(argv)
    universal = load_universal(FLAGS.universal, **common.universal_config())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        packs, files = make(universal, folder)
        tables = [bytes_table(files, universal, folder), latency_table(files, packs, folder)]
        if own := files.get("int8"):
            shared = folder / f"int8_{max_count(own)}.tflite"
            tables += [
                cost_table(packs, own),
                agreement_table(own, packs, shared),
                memory_table(own, folder),
            ]
    print("\n\n".join("\n".join(aligned(table, 1)) for table in tables))


if __name__ == "__main__":
    common.run(main)
