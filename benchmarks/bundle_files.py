"""Size, latency and memory of many tasks in one TFLite file, against one file per task.

    python -m benchmarks.bundle_files \\
        --packs=runs/digits/task_pack.safetensors=digits,runs/dtd/task_pack.safetensors=folder:dtd

Each task pack is given with the images that calibrate its int8 file. The name of a task is the name
of its pack's folder. Tables are Markdown.
"""

import dataclasses
import functools
import importlib
import itertools
import math
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from absl import flags

from benchmarks.figures import spread
from export import exportable, formats, parity
from export.tflite import kernels as tflite_kernels
from export.tflite import merging
from export.tflite import shared as shared_tflite
from export.tflite import single as tflite
from export.tflite.calibration import calibration_images
from pipelines.common import paths, program, universal, values
from tailor_tf import Universal
from tailor_tf.data.sources import load_prepared
from tailor_tf.support import measuring
from tailor_tf.support.text import aligned

FLAGS = flags.FLAGS
COUNTS = (1, 2, 4, 8, 16)
ROUNDS = 200
ROOM = 65536  # bytes that one more task may need in addition to 1.1 times its own parameters


def pack_and_images(item: str) -> tuple[str, str]:
    """A task pack and its images from PACK=IMAGES."""
    pack, equals, images = item.partition("=")
    if not equals or not images:
        raise ValueError(f"received {item!r}; expected PACK=IMAGES")
    return paths.PathParser(paths.FILE).parse(pack), images


values.define_list(
    "packs", None, "Task packs and their images, PACK=IMAGES.", pack_and_images, required=True
)
values.define_names(
    "precisions",
    ["int8", "float32", "float16"],
    "Precisions of TFLite files.",
    formats.shared_precisions(),
)
universal.define()

Files = dict[str, dict[str, pathlib.Path]]  # by precision and task


@dataclasses.dataclass(frozen=True)
class Pack:
    """A task pack that was exported to TFLite files.

    Attributes:
        own: bytes of the task's own parameters in int8 files.
        kernels: bytes of each universal kernel that the task uses, by the layer's name.
        images: the task's test images, uint8 `[images, height, width, 3]`.
    """

    own: int
    kernels: Mapping[str, int]
    images: np.ndarray


def make(network: Universal, folder: pathlib.Path) -> tuple[dict[str, Pack], Files]:
    """Exports the packs that the flags name."""
    packs, files = {}, {precision: {} for precision in FLAGS.precisions}
    for path, images in FLAGS.packs:
        exported = exportable.from_task_pack(path, network)
        name, preprocessing = pathlib.Path(path).parent.name, exported.info.preprocessing
        task = dataclasses.replace(load_prepared(images, preprocessing), info=exported.info)
        for precision in FLAGS.precisions:
            folded = tflite_kernels.folded(exported.network, precision)
            samples = calibration_images(task) if precision == "int8" else ()
            content = tflite.convert(folded, precision, representative=samples)
            files[precision][name] = folder / f"{name}_{precision}.tflite"
            tflite.save(files[precision][name], content, exported.info)
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


def bytes_table(files: Files, network: Universal, folder: pathlib.Path) -> list[list[str]]:
    """Megabytes of one file and of separate files, by precision and number of tasks.

    "As they are" is one file in which the tasks' universal kernels are not made equal first.
    """
    rows = [["precision", "tasks", "separate (MB)", "one file (MB)", "share", "as they are (MB)"]]
    for precision, own in files.items():
        for count in [c for c in COUNTS if c <= len(own)]:
            chosen = dict(itertools.islice(own.items(), count))
            sizes = shared_tflite.write(folder / f"{precision}_{count}.tflite", chosen, network)
            contents = {name: path.read_bytes() for name, path in chosen.items()}
            separate = sum(sizes.separate.values())
            rows.append(
                [
                    precision,
                    str(count),
                    f"{separate / 1e6:.2f}",
                    f"{sizes.shared / 1e6:.2f}",
                    f"{sizes.shared / separate:.2f}",
                    f"{len(merging.merge(contents)) / 1e6:.2f}",
                ]
            )
    return rows


def cost_table(packs: Mapping[str, Pack], own: Mapping[str, pathlib.Path]) -> list[list[str]]:
    """Kilobytes that each task adds to the int8 file of all other tasks, and the bound for them.

    Universal kernels that no other task uses are counted separately.
    """
    contents = {name: path.read_bytes() for name, path in own.items()}
    whole = len(merging.merge(contents))
    header = ["task", "own parameters (KB)", "bound (KB)", "cost (KB)", "universal kernels (KB)"]
    rows = [[*header, "cost / bound"]]
    for name, pack in packs.items():
        others = {other: content for other, content in contents.items() if other != name}
        known = {kernel for other in others for kernel in packs[other].kernels}
        new = sum(size for kernel, size in pack.kernels.items() if kernel not in known)
        cost = whole - len(merging.merge(others)) - new
        bound = 1.1 * pack.own + ROOM
        kilobytes = [f"{value / 1e3:.1f}" for value in (pack.own, bound, cost, new)]
        rows.append([name, *kilobytes, f"{cost / bound:.2f}"])
    return rows


def latency_table(files: Files, packs: Mapping[str, Pack], folder: pathlib.Path) -> list[list[str]]:
    """Median latency of one image with one thread, in turns: own file and file of all tasks."""
    rows = [["precision", "own file (ms), range of tasks", "ratio, range of tasks"]]
    for precision, own in files.items():
        shared = shared_tflite.load(folder / f"{precision}_{max_count(own)}.tflite")
        alone, ratios = [], []
        for name, runtime in shared.items():
            single = formats.load(own[name])
            image = single.prepare(packs[name].images[:1])
            calls = {"own": single, "shared": runtime}
            calls = {key: functools.partial(each.run, image) for key, each in calls.items()}
            times = measuring.in_turns(calls, turns=ROUNDS, warm_up=ROUNDS // 10)
            medians = {key: float(np.median(each.calls)) for key, each in times.items()}
            alone.append(medians["own"] * 1e3)
            ratios.append(medians["shared"] / medians["own"])
        rows.append([precision, spread(alone), spread(ratios)])
    return rows


def max_count(own: Mapping) -> int:
    """The largest of `COUNTS` that is not above the number of tasks."""
    return max(count for count in COUNTS if count <= len(own))


def agreement_table(
    own: Mapping[str, pathlib.Path], packs: Mapping[str, Pack], shared: pathlib.Path
) -> list[list[str]]:
    """Share of test images with the same top-1 class in the task's own and in the shared file."""
    rows = [["task", "test images", "same top-1 (%)", "largest difference of a logit"]]
    for name, runtime in shared_tflite.load(shared).items():
        images = packs[name].images
        expected, received = (
            parity.in_batches(r.logits, images) for r in (formats.load(own[name]), runtime)
        )
        same = np.mean(expected.argmax(-1) == received.argmax(-1))
        difference = np.abs(expected - received).max()
        rows.append([name, str(len(images)), f"{100 * same:.2f}", f"{difference:.1e}"])
    return rows


def memory_table(own: Mapping[str, pathlib.Path], folder: pathlib.Path) -> list[list[str]]:
    """Resident megabytes that int8 files add to a process, after one call of each task."""
    header = ["tasks", "separate (MB)", "one file (MB)"]
    rows = [[*header, "separate, without XNNPACK (MB)", "one file, without XNNPACK (MB)"]]
    for count in [c for c in COUNTS if c <= len(own)]:
        separate = [os.fspath(path) for path in itertools.islice(own.values(), count)]
        shared = [os.fspath(folder / f"int8_{count}.tflite")]
        cells = []
        for delegate, group in itertools.product((True, False), (separate, shared)):
            added = measuring.in_fresh_process(_added_memory, group, delegate)
            cells.append(f"{added / 1e6:.1f}")
        rows.append([str(count), *cells])
    return rows


def _added_memory(paths: Sequence[str], delegate: bool) -> int:
    litert = importlib.import_module("ai_edge_litert.interpreter")
    kinds = litert.OpResolverType
    kind = kinds.AUTO if delegate else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    before, kept = measuring.resident_memory(), []
    for path in paths:
        interpreter = litert.Interpreter(path, experimental_op_resolver_type=kind, num_threads=1)
        for name in interpreter.get_signature_list():
            runner = interpreter.get_signature_runner(name)
            details = runner.get_input_details()["images"]
            runner(images=np.zeros(details["shape"], details["dtype"]))
            kept.append(runner)
    return measuring.resident_memory() - before


def main(argv: list[str]) -> None:
    """Prints the tables."""
    program.no_arguments(argv)
    network = universal.load()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        packs, files = make(network, folder)
        tables = [bytes_table(files, network, folder), latency_table(files, packs, folder)]
        if own := files.get("int8"):
            shared = folder / f"int8_{max_count(own)}.tflite"
            tables += [
                cost_table(packs, own),
                agreement_table(own, packs, shared),
                memory_table(own, folder),
            ]
    print("\n\n".join("\n".join(aligned(table, 1)) for table in tables))


if __name__ == "__main__":
    program.run(main)
