"""Flags of recipes and of the training loop."""

import dataclasses

import tensorflow as tf
from absl import flags

from pipelines.common import devices
from pipelines.common.values import given
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.recipe import Recipe

FLAGS = flags.FLAGS

_RECIPE_HELP = {
    "epochs": "passes over the training images",
    "batch_size": "images per step",
    "learning_rate": "learning rate at the start",
    "schedule": "decay of the learning rate: step or cosine",
    "decay": "factor of the step schedule",
    "decay_epochs": "epochs between drops of the step schedule",
    "warmup_epochs": "epochs of linear warm-up before the cosine schedule",
    "optimizer": "sgd, or adam, whose steps do not depend on the size of gradients",
    "momentum": "momentum of SGD; of Adam, decay of the mean of gradients",
    "weight_decay": "this times the weight is added to its gradient, except for gate logits",
    "label_smoothing": "probability that is spread evenly over all classes",
    "clip_norm": "largest norm of all gradients together, 0 for no limit",
}
_DEFINE = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}


def define_recipe(prefix: str, default: Recipe) -> None:
    """Defines one flag per setting of a recipe; the names of the flags start with `prefix`."""
    phase = f"{prefix.removesuffix('_')}: " if prefix else ""
    for name, value in dataclasses.asdict(default).items():
        _DEFINE[type(value)](prefix + name, value, f"{phase}{_RECIPE_HELP[name]}.")


def recipe(prefix: str) -> Recipe:
    """The recipe that the flags of `define_recipe(prefix)` describe."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    found = Recipe(**{name: FLAGS[prefix + name].value for name in names})
    times = tf.distribute.get_strategy().num_replicas_in_sync if FLAGS.scale_with_devices else 1
    return dataclasses.replace(
        found,
        batch_size=times * found.batch_size,
        learning_rate=times * found.learning_rate,
    )


def define() -> None:
    """Defines the flags of the devices and of the training loop."""
    devices.define()
    defaults = TrainingOptions()
    flags.DEFINE_bool(
        "sync_batch_norm",
        defaults.sync_batch_norm,
        "Whether batch norms use the statistics of the whole batch, not of one device's part.",
    )
    flags.DEFINE_bool(
        "scale_with_devices",
        False,
        "Whether to multiply batch sizes and learning rates by the number of devices.",
    )
    flags.DEFINE_float(
        "checkpoint_seconds",
        defaults.checkpoint_seconds,
        "Seconds between checkpoints within an epoch.",
    )
    flags.DEFINE_bool(
        "jit_compile", defaults.jit_compile, "Whether XLA compiles the training step, for GPUs."
    )


def options() -> TrainingOptions:
    """The options of the training loop that the flags describe."""
    return TrainingOptions(**given(("checkpoint_seconds", "sync_batch_norm", "jit_compile")))
