"""Trains a source network on a broad set of images and writes it as a universal network."""

from absl import flags

from pipelines import common
from tailor_tf import backbones
from tailor_tf.support import locks
from tailor_tf.tailoring.pretraining import pretrain
from tailor_tf.training import loop

FLAGS = flags.FLAGS

common.define_task_flags()
common.define_recipe_flags(
    "", loop.Recipe(16, batch_size=128, learning_rate=0.2, schedule="cosine", warmup_epochs=1.0)
)
common.define_training_flags()
flags.DEFINE_string("workdir", None, "Folder for everything that the run makes.", required=True)
flags.DEFINE_string("backbone", "wide_resnet26", "Network to train; any that can be universal.")
flags.DEFINE_float("width", None, "Multiplier of the channel counts (wide_resnet26 only).")
flags.DEFINE_integer("image_size", 32, "Side of the network's square input, pixels.")


def main(argv: list[str]) -> None:
    """Pre-trains and prints where the network is and how good it is."""
    common.no_arguments(argv)
    with common.training_workdir() as workdir:
        train(workdir)


def train(workdir: str) -> None:
    """Pre-trains in a working directory."""
    config = {"image_size": FLAGS.image_size}
    if FLAGS.width is not None:
        config["width"] = FLAGS.width
    graph = backbones.create(FLAGS.backbone, **config)
    task = common.task_from_flags(FLAGS.image_size, graph.normalisation)
    recipe = common.recipe_from_flags("")
    with locks.locked(workdir):
        record = pretrain(
            graph,
            task,
            recipe,
            workdir=workdir,
            seed=FLAGS.seed,
            callbacks=common.phase_callbacks(workdir)("pretrain"),
            **common.training_options(),
        )
    split = "validation" if record["test_accuracy"] is None else "test"
    accuracy = record[f"{split}_accuracy"]
    print(f"{workdir}/universal.safetensors: {split} accuracy {accuracy:.2%}")


if __name__ == "__main__":
    common.run(main)
