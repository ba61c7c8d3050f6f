"""Flags of the universal network."""

from typing import Any

from absl import flags

from pipelines.common.values import given
from tailor_tf.backbones.loading import SOURCES, load_universal
from tailor_tf.backbones.universal import Universal

FLAGS = flags.FLAGS


def define() -> None:
    """Defines the flags of the universal network."""
    usages = ", ".join(source.usage for source in SOURCES)
    flags.DEFINE_string("universal", "imagenet", f"Universal network: {usages}.")
    flags.DEFINE_string(
        "backbone",
        None,
        "Backbone of a weights file of a PyTorch program, such as resnet34, or a network of "
        "keras.applications, such as MobileNetV2.",
    )
    flags.DEFINE_integer(
        "blocks", None, "Number of blocks that a network of keras.applications is cut into."
    )
    flags.DEFINE_integer(
        "image_size", None, "Side of the network's square input, pixels; the network's own if None."
    )


def settings() -> dict[str, Any]:
    """The settings of the network that flags give, by name."""
    found = given(("backbone", "image_size", "blocks"))
    return {name: value for name, value in found.items() if value is not None}


def load(**settings_over_flags: Any) -> Universal:
    """Loads the network that the flags name; the arguments replace settings of the flags."""
    return load_universal(FLAGS.universal, **settings() | settings_over_flags)
