"""Images per second of the input pipeline, against images per second of a student's training step.

The two are measured in turns, so that the load of the machine affects both equally. The table shows
medians, and the ratio with its range.
"""

import itertools
import statistics

from absl import flags

from benchmarks.figures import spread
from pipelines.common import paths, program, values
from tailor_tf import backbones
from tailor_tf.backbones.universal import Universal
from tailor_tf.data.batches import training_batches
from tailor_tf.data.sources import load_task
from tailor_tf.method.distillation import StudentObjective
from tailor_tf.method.student import build_student
from tailor_tf.network import costs
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import build_network
from tailor_tf.support import measuring
from tailor_tf.support.text import aligned
from tailor_tf.training.loop import Trainer
from tailor_tf.training.recipe import Recipe

FLAGS = flags.FLAGS
values.define_list(
    "tasks",
    ["digits"],
    "Tasks, as --task of pipelines.tailor, with commas.",
    values.TextParser().parse,
)
values.define_numbers(
    "sizes",
    [32, 64, 224],
    "Sides of the images, pixels, with commas.",
    kind=int,
    least=1,
    most=values.LARGEST_SIDE,
)
paths.define("data_dir", paths.FOLDER, None, "Folder of TensorFlow Datasets' data.")
values.define_integer("batch_size", 32, "Images per batch.", least=1, most=values.MANY)
values.define_integer("rounds", 5, "Turns of each measurement.", least=1, most=values.MANY)

_SECONDS = 1.0  # shortest duration of one turn


def network(image_size: int):
    """The network for an image size: the shipped one's backbone for small sizes, else ResNet-18."""
    if image_size < 128:
        return backbones.create("wide_resnet26", image_size=image_size, width=0.5)
    return backbones.create("resnet18", image_size=image_size)


def trainer(image_size: int, num_classes: int) -> Trainer:
    """A student's trainer with random weights."""
    graph = network(image_size)
    model = build_network(graph, num_classes)
    model.trainable = False
    universal = Universal(graph, model)
    architecture = Architecture.full(graph.num_blocks)
    student = build_student(universal, architecture, num_classes)
    objective = StudentObjective(student, model, costs.path_shares(graph, architecture))
    return Trainer(objective, Recipe(1), steps_per_epoch=1)


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
    calls = {
        "pipeline": lambda: next(batches),
        "step": lambda: float(trained.step(images, labels)["loss"]),
    }
    times = measuring.in_turns(calls, turns=FLAGS.rounds, seconds=_SECONDS)
    given, taken = (size / times[name].means for name in calls)
    shown = [f"{statistics.median(rates):,.0f}" for rates in (given, taken)]
    return [task.name, str(image_size), *shown, spread(given / taken, 0)]


def main(argv: list[str]) -> None:
    """Prints a table with a row per task and size."""
    program.no_arguments(argv)
    rows = [["task", "pixels", "pipeline (images/s)", "student's step (images/s)", "ratio"]]
    for spec, image_size in itertools.product(FLAGS.tasks, FLAGS.sizes):
        rows.append(measure(spec, image_size))
    print("\n".join(aligned(rows)))


if __name__ == "__main__":
    program.run(main)
