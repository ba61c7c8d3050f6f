"""Latency against multiply-adds: networks without half of their blocks against whole networks.

    python -m benchmarks.export_latency --networks=wide_resnet26:64,resnet34:224

Weights are random, because speed does not depend on them. Every second universal block is removed.
Layers without a universal block have proxies from the two nodes before; layers with one have a
proxy from the second node before.
"""

import functools
import pathlib
import tempfile

import keras
import numpy as np
from absl import flags

from benchmarks import networks
from benchmarks.figures import spread
from export import benchmark
from export.onnx import single as onnx
from export.tflite import single as tflite
from pipelines.common import program, values
from tailor_tf import Universal, backbones
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.method.student import build_student
from tailor_tf.network import costs
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.graph import BlockGraph, build_network
from tailor_tf.support.text import aligned

FLAGS = flags.FLAGS
CLASSES = 100

networks.define(["wide_resnet26:64", "resnet34:224"], batch=False)
values.define_integer(
    "repeats",
    5,
    "Number of measurements; median and range are shown.",
    least=1,
    most=values.MANY,
)
values.define_integer(
    "rounds", 20, "Turns of the networks in each measurement.", least=1, most=values.MANY
)


def half(graph: BlockGraph) -> Architecture:
    """Every second block, and a few proxies."""
    paths = []
    for layer in range(1, graph.num_blocks + 1):
        kept = layer % 2 == 1
        sources = [layer - 2] if kept else [layer - 1, layer - 2]
        paths += [Path.proxy(layer, source=source) for source in sources if source >= 0]
        if kept:
            paths.append(Path.block(layer))
    return Architecture(graph.num_blocks, tuple(paths))


def measure(name: str, size: int, folder: pathlib.Path) -> list[list[str]]:
    """Rows of the table for one network."""
    graph = backbones.create(name, image_size=size)
    model = build_network(graph, CLASSES)
    universal = Universal(graph, model)
    architecture = half(graph)
    student = build_student(universal, architecture, CLASSES)
    measured = {
        "tailored": compact(student),
        "teacher": keras.Model(model.input, model.output["logits"]),
    }
    cost = costs.student_cost(graph, architecture, CLASSES).multiply_adds
    arithmetic = cost / costs.network_cost(graph, CLASSES).multiply_adds
    preprocessing = Preprocessing(size, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0)
    info = TaskInfo(name, tuple(map(str, range(CLASSES))), preprocessing)
    paths = {network: {} for network in measured}
    for network, whole in measured.items():
        folded = fold(whole)
        paths[network]["LiteRT"] = folder / f"{network}.tflite"
        tflite.save(folder / f"{network}.tflite", tflite.convert(folded), info)
        paths[network]["ONNX Runtime"] = folder / f"{network}.onnx"
        (folder / f"{network}.onnx").write_bytes(onnx.convert(folded, info))
    images = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    run = functools.partial(benchmark.run, batches=(1,), threads=(1,), rounds=FLAGS.rounds)
    results = [run(paths, images) for _ in range(FLAGS.repeats)]
    rows = []
    for runtime in ("LiteRT", "ONNX Runtime"):
        ratios = [benchmark.ratios(each)[runtime, 1, 1] for each in results]
        teacher = [r.median for r in results[0] if (r.network, r.artifact) == ("teacher", runtime)]
        ratio = float(np.median(ratios))
        rows.append(
            [
                f"{name}, {size}x{size}",
                runtime,
                f"{teacher[0]:.1f}",
                f"{arithmetic:.3f}",
                spread(ratios, 3),
                f"{ratio / arithmetic:.2f}",
            ]
        )
    return rows


def main(argv: list[str]) -> None:
    """Prints the table, Markdown."""
    program.no_arguments(argv)
    header = ["network", "runtime", "teacher (ms)", "multiply-adds", "latency", "latency / madds"]
    rows = [header]
    for name, size, _ in FLAGS.networks:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(name, size, pathlib.Path(folder))
    print("\n".join(aligned(rows, 2)))


if __name__ == "__main__":
    program.run(main)
