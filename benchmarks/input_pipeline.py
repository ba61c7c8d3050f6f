"""How many images per second the input pipeline gives, against what a student's step takes.

The two are measured by turns, so that both meet the same machine; the table shows medians and the
ratio with its range.
"""

import itertools
import statistics
import time

from absl import flags

from benchmarks.figures import spread
from pipelines import common
from tailor_tf import backbones
from tailor_tf.backbones.universal import Universal
from tailor_tf.data import load_task, training_batches
from tailor_tf.method import distillation, student
from tailor_tf.network import costs
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import build_network
from tailor_tf.report.tables import aligned
from tailor_tf.training import loop

FLAGS = flags.FLAGS
flags.DEFINE_list("tasks", ["digits"], "Images, as --task of pipelines.tailor, by comma.")
flags.DEFINE_list("sizes", ["32", "64", "224"], "Sides of the images, pixels, by comma.")
flags.DEFINE_string("data_dir", None, "Where TensorFlow Datasets keeps its data.")
flags.DEFINE_integer("batch_size", 32, "Images per batch.")
flags.DEFINE_integer("rounds", 5, "Turns of each measurement.")

_SECONDS = 1.0  # of one turn, at least


def network(image_size: int):
    """The network that is trained at a size: the shipped one's at small sizes, ResNet-18 above."""
    if image_size < 128:
        return backbones.create("wide_resnet26", image_size=image_size, width=0.5)
    return backbones.create("resnet18", image_size=image_size)


def trainer(image_size: int, num_classes: int) -> loop.Trainer:
    """A student's trainer with random weights."""
    graph = network(image_size)
    model = build_network(graph, num_classes)
    model.trainable = False
    universal = Universal(graph, model)
    architecture = Architecture.full(graph.num_blocks)
    objective = distillation.StudentObjective(
        model, architecture, costs.path_shares(graph, architecture)
    )
    learner = student.build_student(universal, architecture, num_classes)
    return loop.Trainer(learner, objective, loop.Recipe(1), steps_per_epoch=1)


def rate(advance, batch_size: int) -> float:
    """Images per second of calling `advance`, which handles a batch, for some time."""
    advance()
    count, started = 0, time.monotonic()
    while time.monotonic() - started < _SECONDS:
        advance()
        count += 1
    return count * batch_size / (time.monotonic() - started)


def measure(spec: str, image_size: int) -> list[str]:
    """A row of the table."""
    task = load_task(spec, image_size=image_size, data_dir=FLAGS.data_dir)
    size = FLAGS.batch_size
    batches = itertools.chain.from_iterable(
        training_batches(task.train, task.preprocessing, batch_size=size, seed=0, epoch=epoch)
        for epoch in itertools.count()
    )
    images, labels = next(batches)
    trained = trainer(image_size, task.num_classes)
    rounds = [
        (rate(lambda: next(batches), size), rate(lambda: trained.step(images, labels), size))
        for _ in range(FLAGS.rounds)
    ]
    given, taken = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = spread([a / b for a, b in rounds], 0)
    return [task.name, str(image_size), f"{given:,.0f}", f"{taken:,.0f}", ratio]


def main(argv: list[str]) -> None:
    """Prints a table with a row per task and size."""
    common.no_arguments(argv)
    rows = [["task", "pixels", "pipeline (images/s)", "student's step (images/s)", "ratio"]]
    for spec, image_size in itertools.product(FLAGS.tasks, FLAGS.sizes):
        rows.append(measure(spec, int(image_size)))
    print("\n".join(aligned(rows)))


if __name__ == "__main__":
    common.run(main)
