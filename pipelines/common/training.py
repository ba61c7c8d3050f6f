"""Flags of recipes and of the training loop."""

import dataclasses
from typing import Any

import tensorflow as tf
from absl import flags

from pipelines.common import devices, values
from pipelines.common.values import MANY, given
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.recipe import OPTIMIZERS, SCHEDULES, Recipe

FLAGS = flags.FLAGS

_YEAR = 365 * 86400.0  # seconds
# Help texts, and the range of a number or the names that there are.
_OF_RECIPE: dict[str, tuple[str, Any]] = {
    "epochs": ("passes over the training images", {"least": 1, "most": MANY}),
    "batch_size": ("images per step", {"least": 1, "most": MANY}),
    "learning_rate": ("learning rate at the start", {"above": 0, "most": 1000}),
    "schedule": ("decay of the learning rate: step or cosine", SCHEDULES),
    "decay": ("factor of the step schedule", {"above": 0, "most": 1}),
    "decay_epochs": ("epochs between drops of the step schedule", {"least": 1, "most": MANY}),
    "warmup_epochs": (
        "epochs of linear warm-up before the cosine schedule",
        {"least": 0, "most": MANY},
    ),
    "optimizer": ("sgd, or adam, whose steps do not depend on the size of gradients", OPTIMIZERS),
    "momentum": (
        "momentum of SGD; of Adam, decay of the mean of gradients",
        {"least": 0, "below": 1},
    ),
    "weight_decay": (
        "this times the weight is added to its gradient, except for gate logits",
        {"least": 0, "most": 1},
    ),
    "label_smoothing": (
        "probability that is spread evenly over all classes",
        {"least": 0, "below": 1},
    ),
    "clip_norm": (
        "largest norm of all gradients together, 0 for no limit",
        {"least": 0, "most": 1e9},
    ),
}
_DEFINE = {int: values.define_integer, float: values.define_number}


def define_recipe(prefix: str, default: Recipe) -> None:
    """Defines one flag per setting of a recipe; the names of the flags start with `prefix`."""
    phase = f"{prefix.removesuffix('_')}: " if prefix else ""
    for name, value in dataclasses.asdict(default).items():
        text, accepted = _OF_RECIPE[name]
        if isinstance(value, str):
            flags.DEFINE_enum(prefix + name, value, accepted, f"{phase}{text}.")
        else:
            _DEFINE[type(value)](prefix + name, value, f"{phase}{text}.", **accepted)


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
    values.define_number(
        "checkpoint_seconds",
        defaults.checkpoint_seconds,
        "Seconds between checkpoints within an epoch.",
        least=0,
        most=_YEAR,
    )
    flags.DEFINE_bool(
        "jit_compile", defaults.jit_compile, "Whether XLA compiles the training step, for GPUs."
    )


def options() -> TrainingOptions:
    """The options of the training loop that the flags describe."""
    return TrainingOptions(**given(("checkpoint_seconds", "sync_batch_norm", "jit_compile")))
