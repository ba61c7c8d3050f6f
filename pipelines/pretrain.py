"""Trains a source network on a general data set and writes it as a universal network."""

from absl import flags

from pipelines.common import devices, images, paths, program, training, values
from tailor_tf import backbones
from tailor_tf.records.phase import Phase
from tailor_tf.records.workdir import SourceWorkdir
from tailor_tf.support import locks
from tailor_tf.tailoring.batch_sizes import check_batch_sizes
from tailor_tf.tailoring.pretraining import pretrain
from tailor_tf.training.recipe import Recipe

FLAGS = flags.FLAGS

images.define()
training.define_recipe(
    "", Recipe(16, batch_size=128, learning_rate=0.2, schedule="cosine", warmup_epochs=1.0)
)
training.define()
paths.define("workdir", paths.FOLDER, None, "Folder for all files of the run.", required=True)
values.define_text("backbone", "wide_resnet26", "Backbone to train; any backbone of the project.")
values.define_number(
    "width", None, "Factor of the numbers of channels (wide_resnet26 only).", above=0, most=8
)
values.define_integer(
    "image_size",
    32,
    "Side of the network's square input, pixels.",
    least=1,
    most=values.LARGEST_SIDE,
)


def train(workdir: str) -> None:
    """Pre-trains in a working directory; prints the network's file and its accuracy."""
    config = {"image_size": FLAGS.image_size}
    if FLAGS.width is not None:
        config["width"] = FLAGS.width
    recipe, options = training.recipe(""), training.options()
    graph = backbones.create(FLAGS.backbone, **config)
    task = images.load(FLAGS.image_size, graph.normalisation)
    check_batch_sizes({"batch_size": recipe}, len(task.train))
    with locks.locked(workdir):
        record = pretrain(
            graph,
            task,
            recipe,
            workdir=workdir,
            seed=FLAGS.seed,
            callbacks=program.callbacks(workdir)(Phase("pretrain")),
            options=options,
        )
    tested = record.test_accuracy is not None
    split, accuracy = (
        ("test", record.test_accuracy) if tested else ("validation", record.validation_accuracy)
    )
    print(f"{SourceWorkdir(workdir).universal}: {split} accuracy {accuracy:.2%}")


def main(argv: list[str]) -> None:
    """Pre-trains on the devices that the flags name."""
    program.no_arguments(argv)
    with devices.training_workdir() as workdir:
        train(workdir)


if __name__ == "__main__":
    program.run(main)
