"""Flag of the largest image that is decoded, a limit that a person may need to raise."""

from absl import flags

from pipelines.common import values
from tailor_tf.support import limits

FLAGS = flags.FLAGS
NAME = "max_pixels"


def define() -> None:
    """Defines the flag."""
    values.define_integer(
        NAME,
        limits.PIXELS,
        "Pixels of the largest image that is decoded, as it is and once it is scaled; SavedModels "
        "keep the number of their export.",
        least=1,
        most=limits.MOST_PIXELS,
    )


def apply() -> None:
    """Sets the limit of this process to that of the flag, before an image is decoded."""
    limits.PIXELS = FLAGS[NAME].value
