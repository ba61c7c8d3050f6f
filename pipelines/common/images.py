"""Flags of the images of a task."""

from collections.abc import Mapping

import tensorflow as tf
from absl import flags

from pipelines.common import largest, paths, values
from pipelines.common import normalisation as colours
from pipelines.common.values import given
from tailor_tf.data.fingerprint import Fingerprint
from tailor_tf.data.sources import SOURCES, load_prepared, load_task
from tailor_tf.data.square import FITS
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.network.graph import Normalisation

FLAGS = flags.FLAGS
_SOURCE = ("data_dir", "validation_fraction", "seed", "skip_broken")
SOURCE_NAMES = ("task", "deterministic", largest.NAME, *_SOURCE)
_PREPROCESSING = ("flip", "crop_padding", "resize", "fit", "crop_scale", "jitter")


def define() -> None:
    """Defines the flags of the images and of their preprocessing."""
    define_source()
    _define_preprocessing()


def define_source() -> None:
    """Defines the flags of the images alone, for networks whose preprocessing is known."""
    usages = ", ".join(source.usage for source in SOURCES.values())
    values.define_text("task", "digits", f"Images: {usages}.")
    values.define_text(
        "name",
        None,
        "The task's name in file names and at servers; the name of its folder or data set if None.",
    )
    paths.define("data_dir", paths.FOLDER, None, "Folder of TensorFlow Datasets' data.")
    values.define_number(
        "validation_fraction",
        0.15,
        "Share of the training images to use for validation if the task has no validation images.",
        above=0,
        below=1,
    )
    values.define_integer(
        "seed", 0, "Seed of all random numbers.", least=0, most=values.LARGEST_SEED
    )
    flags.DEFINE_bool("skip_broken", False, "Whether to leave out images that cannot be decoded.")
    largest.define()
    flags.DEFINE_bool(
        "deterministic", False, "Same result each time on the same machine; a little slower."
    )


def _define_preprocessing() -> None:
    flags.DEFINE_bool(
        "flip",
        None,
        "Mirror training images at random; by default yes, except for characters and signs.",
    )
    values.define_integer(
        "crop_padding",
        None,
        "Padding per side for random crops, pixels; by default an eighth of the image's side, or 0 "
        "with --resize or --crop_scale.",
        least=0,
        most=values.LARGEST_SIDE,
    )
    values.define_integer(
        "resize",
        None,
        "Side to which images are scaled before the network's input is cut out, pixels; the side "
        "of the input by default.",
        least=1,
        most=values.LARGEST_SIDE,
    )
    flags.DEFINE_enum(
        "fit",
        FITS[0],
        FITS,
        "Way to make images square: crop cuts out the centre, squeeze distorts the whole image, "
        "pad repeats its outermost pixels beside it.",
    )
    values.define_number(
        "crop_scale",
        None,
        "Smallest part of an image's area for random crops that are scaled to the network's input; "
        "1 for none. By default 0.5 for photographs (images that are mirrored, for a network of 96 "
        "pixels or more) without --crop_padding, otherwise 1.",
        above=0,
        most=1,
    )
    values.define_number(
        "jitter",
        None,
        "Largest random change of brightness, contrast and saturation of training images, as a "
        "part of each; by default 0.2 for photographs, otherwise 0.",
        least=0,
        below=1,
    )
    colours.define()


def load(
    image_size: int,
    normalisation: Normalisation | None = None,
    looked_at: Mapping[str, Fingerprint] | None = None,
) -> Task:
    """Loads the task that the flags name.

    Args:
        image_size: width and height of the network's input, pixels.
        normalisation: mean and standard deviation that the universal network expects; `None` to
            measure them on the training images. Flags replace them in both cases.
        looked_at: fingerprints of images that are known to be whole, as of `sources.load_task`.
    """
    _set_up()
    options = {**given((*_SOURCE, *_PREPROCESSING, "name")), **colours.of_task(normalisation)}
    return load_task(FLAGS.task, image_size=image_size, looked_at=looked_at, **options)


def load_for(info: TaskInfo, looked_at: Mapping[str, Fingerprint] | None = None) -> Task:
    """Loads the images that the flags name, prepared as for a network that exists.

    Args:
        info: the task of the network.
        looked_at: as of `load`.
    """
    _set_up()
    options = {"name": info.name, "looked_at": looked_at, **given(_SOURCE)}
    return load_prepared(FLAGS.task, info.preprocessing, **options)


def _set_up() -> None:
    """Sets what the flags say of the whole process."""
    largest.apply()
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
