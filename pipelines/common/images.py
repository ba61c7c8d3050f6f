"""Flags of the images of a task."""

import tensorflow as tf
from absl import flags

from pipelines.common.values import given, numbers
from tailor_tf.data.sources import SOURCES, load_task
from tailor_tf.data.task import Task
from tailor_tf.network.graph import Normalisation

FLAGS = flags.FLAGS
_OPTIONS = ("data_dir", "validation_fraction", "seed", "flip", "crop_padding", "resize")


def define() -> None:
    """Defines the flags of the images and of their preprocessing."""
    usages = ", ".join(source.usage for source in SOURCES.values())
    flags.DEFINE_string("task", "digits", f"Images: {usages}.")
    flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets' data.")
    flags.DEFINE_float(
        "validation_fraction",
        0.15,
        "Share of the training images to use for validation if the task has no validation images.",
    )
    flags.DEFINE_bool(
        "flip",
        None,
        "Mirror training images at random; by default yes, except for characters and signs.",
    )
    flags.DEFINE_integer(
        "crop_padding",
        None,
        "Padding per side for random crops, pixels; an eighth of the image's side by default.",
    )
    flags.DEFINE_integer(
        "resize",
        None,
        "Side to which images are scaled before the network's input is cut out, pixels; the side "
        "of the input by default.",
    )
    for name, what in (("mean", "Mean"), ("std", "Standard deviation")):
        flags.DEFINE_list(
            name,
            None,
            f"{what} of red, green and blue, scaled to 0..1; by default the universal network's, "
            "or measured on the training images.",
        )
    flags.DEFINE_integer("seed", 0, "Seed of all random numbers.", lower_bound=0)
    flags.DEFINE_bool(
        "deterministic", False, "Same result each time on the same machine; a little slower."
    )


def load(image_size: int, normalisation: Normalisation | None = None) -> Task:
    """Loads the task that the flags name.

    Args:
        image_size: width and height of the network's input, pixels.
        normalisation: mean and standard deviation that the universal network expects; `None` to
            measure them on the training images. Flags replace them in both cases.
    """
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    colours = {
        name: numbers(FLAGS[name]) or getattr(normalisation, name, None) for name in ("mean", "std")
    }
    return load_task(FLAGS.task, image_size=image_size, **given(_OPTIONS), **colours)
