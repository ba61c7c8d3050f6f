"""Flags of the normalisation of images, for programs that read images or universal networks."""

from absl import flags

from pipelines.common import values
from tailor_tf.backbones import front
from tailor_tf.network.graph import Normalisation
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS
NAMES = ("normalisation", "mean", "std")
LARGEST = 255  # of a mean or deviation: more than levels that are not scaled


def define() -> None:
    """Defines the flags, unless another theme of flags did it before."""
    if "normalisation" in FLAGS:
        return
    flags.DEFINE_enum(
        "normalisation",
        None,
        list(front.NAMED),
        "Mean and standard deviation by the name that Keras has for them; none for levels 0 to 255 "
        "as they are. Needed for a file of a Keras model that does not normalise images itself.",
    )
    for name, what, least in (
        ("mean", "Mean", {"least": -LARGEST}),
        ("std", "Standard deviation", {"above": 0}),
    ):
        values.define_numbers(
            name,
            None,
            f"{what} of red, green and blue, scaled to 0..1; by default the universal network's, "
            "or measured on the training images.",
            length=3,
            most=LARGEST,
            **least,
        )


def stated() -> str | Normalisation | None:
    """The normalisation that the flags state as a whole; `None` if they do not.

    Raises:
        TailorError: the flags name the normalisation and its numbers, or only one of mean and std.
    """
    mean, std = map(_numbers, ("mean", "std"))
    if FLAGS.normalisation is not None and (mean or std):
        raise TailorError("Expected --normalisation, or --mean and --std; received both.")
    if (mean is None) != (std is None):
        raise TailorError("Received one of --mean and --std; expected both.")
    return FLAGS.normalisation if mean is None else Normalisation(mean, std)


def of_task(network: Normalisation | None) -> dict[str, tuple[float, ...] | None]:
    """Mean and std for the images of a task; `None` to measure them.

    Args:
        network: the normalisation of the universal network; flags replace it.
    """
    if FLAGS.normalisation is not None:
        network = front.NAMED[FLAGS.normalisation].normalisation
    return {name: _numbers(name) or getattr(network, name, None) for name in ("mean", "std")}


def _numbers(name: str) -> tuple[float, ...] | None:
    return FLAGS[name].value and tuple(FLAGS[name].value)
