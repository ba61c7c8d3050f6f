"""Flags and behaviour that the programs share."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
from absl import app, flags, logging

from tailor_tf import data, training
from tailor_tf.backbones.weights import WeightsError

FLAGS = flags.FLAGS


def define_task_flags() -> None:
    """Defines the flags that say which images to use and how to prepare them."""
    flags.DEFINE_string(
        "task", "digits", "Images: digits, folder:PATH or tfds:NAME[/CONFIG].", short_name="t"
    )
    flags.DEFINE_string("data_dir", None, "Where TensorFlow Datasets keeps its data.")
    flags.DEFINE_float(
        "validation_fraction",
        0.15,
        "Share of the training images held out "
        "for validation where the task has no validation split.",
    )
    flags.DEFINE_bool(
        "flip",
        None,
        "Flip training images left to right at random; by default "
        "wherever the task is not known to hold characters or signs.",
    )
    flags.DEFINE_integer(
        "crop_padding",
        None,
        "Pixels of padding around training images for "
        "random crops; an eighth of the image's side by default.",
    )
    flags.DEFINE_integer("seed", 0, "Seed of everything random.")


def task_from_flags(image_size: int) -> data.Task:
    """Loads the task that the flags name, its images `image_size` pixels wide and high."""
    return data.load_task(
        FLAGS.task,
        image_size=image_size,
        data_dir=FLAGS.data_dir,
        validation_fraction=FLAGS.validation_fraction,
        seed=FLAGS.seed,
        flip=FLAGS.flip,
        crop_padding=FLAGS.crop_padding,
    )


_RECIPE_HELP = {
    "epochs": "passes over the training images",
    "batch_size": "images per step",
    "learning_rate": "learning rate at the start",
    "schedule": "step or cosine decay of the learning rate",
    "decay": "factor of the step schedule",
    "decay_epochs": "epochs between drops of the step schedule",
    "warmup_epochs": "epochs of linear warm-up before the cosine schedule",
    "momentum": "momentum of SGD",
    "weight_decay": "L2 penalty, added to the gradients; gate logits are exempt",
    "label_smoothing": "probability mass of the target spread over all classes",
}


def define_recipe_flags(prefix: str, **defaults: Any) -> None:
    """Defines a flag per setting of `Recipe`, their names starting with `prefix`."""
    for field in dataclasses.fields(training.Recipe):
        default = defaults.get(field.name, field.default)
        define = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
        define[field.type](
            prefix + field.name, default, _RECIPE_HELP[field.name].capitalize() + "."
        )


def recipe_from_flags(prefix: str) -> training.Recipe:
    """The recipe that the flags of `define_recipe_flags(prefix)` describe."""
    names = [field.name for field in dataclasses.fields(training.Recipe)]
    return training.Recipe(**{name: FLAGS[prefix + name].value for name in names})


def progress_callbacks(logdir: str) -> tuple[keras.callbacks.Callback, ...]:
    """A progress bar, and TensorBoard logs under `logdir`."""
    return (keras.callbacks.ProgbarLogger(),)


def no_arguments(argv: Sequence[str]) -> None:
    """Refuses arguments that are no flags, such as a value after a blank."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected argument {argv[1]!r}; everything is given by flags.")


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a program; what a person can cause ends in one message instead of a stack trace."""

    def guarded(argv):
        logging.set_verbosity(logging.WARNING)
        try:
            main(argv)
        except (data.DataError, WeightsError, training.NonFiniteLossError, ValueError) as error:
            sys.exit(f"Error: {error}")
        except KeyboardInterrupt:
            sys.exit("Interrupted; the same command continues.")

    app.run(guarded)
