"""Flags of the universal network."""

from absl import flags

from pipelines.common import normalisation, paths, values
from pipelines.common.values import given
from tailor_tf.backbones.cutting import FEWEST_BLOCKS
from tailor_tf.backbones.loading import SOURCES, load_universal, source_of
from tailor_tf.backbones.universal import Universal

FLAGS = flags.FLAGS
_SETTINGS = ("backbone", "image_size", "blocks")
NAMES = ("universal", *_SETTINGS, *normalisation.NAMES)


def define() -> None:
    """Defines the flags of the universal network."""
    usages = ", ".join(source.usage for source in SOURCES)
    paths.define_name_or_path("universal", "imagenet", f"Universal network: {usages}.")
    values.define_text(
        "backbone",
        None,
        "Backbone of a weights file of a PyTorch program, such as resnet34, or a network of "
        "keras.applications, such as MobileNetV2.",
    )
    values.define_integer(
        "blocks",
        None,
        "Number of blocks that a network of Keras is cut into.",
        least=FEWEST_BLOCKS,
        most=values.MANY,
    )
    values.define_integer(
        "image_size",
        None,
        "Side of the network's square input, pixels; the network's own if None.",
        least=1,
        most=values.LARGEST_SIDE,
    )
    normalisation.define()


def given_flags() -> list[str]:
    """The flags of the network that are given, but for --universal, to start another program."""
    known = (FLAGS[name] for name in (*_SETTINGS, *normalisation.NAMES))
    return [flag.serialize() for flag in known if flag.value is not None]


def load(**settings_over_flags: int) -> Universal:
    """Loads the network that the flags name; the arguments replace settings of the flags."""
    found = {name: value for name, value in given(_SETTINGS).items() if value is not None}
    source = source_of(FLAGS.universal, FLAGS.backbone)
    # For other networks, mean and deviation are settings of the task alone.
    stated = normalisation.stated() if source.of_any_model else FLAGS.normalisation
    return load_universal(FLAGS.universal, normalisation=stated, **found | settings_over_flags)
