"""Time of a training outside its steps: the first trace, waiting for data, checkpoints.

A callback measures the times while a teacher and a student are trained for a few epochs, as in
`pipelines.tailor`.
"""

import functools
import pathlib
import statistics
import tempfile
import time

import keras
from absl import flags

from benchmarks import networks
from benchmarks.figures import spread
from pipelines.common import program, values
from tailor_tf import Universal, backbones, load_universal
from tailor_tf.data.batches import training_batches
from tailor_tf.data.sources import load_task
from tailor_tf.data.task import Task
from tailor_tf.method.distillation import StudentObjective
from tailor_tf.method.folding import fold
from tailor_tf.method.student import build_student, build_teacher
from tailor_tf.network import costs
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import build_network
from tailor_tf.support.text import aligned
from tailor_tf.training.loop import Trainer
from tailor_tf.training.objective import Classification, Objective
from tailor_tf.training.recipe import Recipe

FLAGS = flags.FLAGS
values.define_text("task", "digits", "Images, as --task of pipelines.tailor.")
networks.define(["shipped:32:32", "shipped:64:32"])
values.define_integer(
    "epochs", 4, "Epochs per phase; the first one is not counted.", least=2, most=values.MANY
)


class Stopwatch(keras.callbacks.Callback):
    """Measures times of a training.

    Attributes:
        first: seconds until the first step is done.
        epochs: seconds of each epoch.
        waiting: seconds of each epoch in which the training waits for data.
        saving: seconds of each epoch for writing the checkpoint.
    """

    def __init__(self):
        super().__init__()
        self.first = None
        self.epochs, self.waiting, self.saving = [], [], []

    def on_train_begin(self, logs=None):
        self.started = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_started = self.last = time.perf_counter()
        self.waiting.append(0.0)

    def on_train_batch_begin(self, batch, logs=None):
        self.waiting[-1] += time.perf_counter() - self.last

    def on_train_batch_end(self, batch, logs=None):
        self.last = time.perf_counter()
        self.first = self.first or self.last - self.started

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.epochs.append(now - self.epoch_started)
        self.saving.append(now - self.last)  # there is no validation in this benchmark


def universal_network(name: str, size: int) -> Universal:
    """The shipped network, or one with random weights."""
    if name == networks.SHIPPED:
        return load_universal("tiny_imagenet", image_size=size)
    graph = backbones.create(name, image_size=size)
    return Universal(graph, build_network(graph, 100))


def train(objective: Objective, task: Task, batch: int) -> Stopwatch:
    """Trains for some epochs with a stopwatch."""
    recipe, watch = Recipe(FLAGS.epochs, batch_size=batch, learning_rate=0.01), Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            objective,
            recipe,
            steps_per_epoch=len(task.train) // batch,
            checkpoint=pathlib.Path(folder) / "state.safetensors",
        )
        trainer.fit(
            functools.partial(
                training_batches, task.train, task.preprocessing, batch_size=batch, seed=0
            ),
            callbacks=[watch],
        )
    return watch


def measure(name: str, size: int, batch: int) -> list[list[str]]:
    """Rows of the table for one network: one for its teacher, one for its student."""
    universal = universal_network(name, size)
    task = load_task(FLAGS.task, image_size=size)
    full = Architecture.full(universal.graph.num_blocks)
    shares = costs.path_shares(universal.graph, full)
    teacher = build_teacher(universal, task.num_classes)
    watches = {"teacher": train(Classification(teacher), task, batch)}
    teacher.trainable = False
    student = build_student(universal, full, task.num_classes)
    objective = StudentObjective(student, fold(teacher), shares)
    watches["student"] = train(objective, task, batch)
    return [
        [
            f"{universal.graph.name}, {size}x{size}, batch {batch}",
            phase,
            f"{watch.first:.1f}",
            f"{statistics.median(watch.epochs[1:]):.1f}",
            _share(watch.waiting, watch.epochs),
            _share(watch.saving, watch.epochs),
        ]
        for phase, watch in watches.items()
    ]


def _share(parts: list[float], wholes: list[float]) -> str:
    return spread([100 * part / whole for part, whole in zip(parts[1:], wholes[1:], strict=True)])


def main(argv: list[str]) -> None:
    """Prints the table, Markdown."""
    program.no_arguments(argv)
    header = ["network", "phase", "first step (s)", "epoch (s)", "waiting (%)", "checkpoints (%)"]
    rows = [header]
    for network in FLAGS.networks:
        rows += measure(*network)
    print("\n".join(aligned(rows, 2)))


if __name__ == "__main__":
    program.run(main)
