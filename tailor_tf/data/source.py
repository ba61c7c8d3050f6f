"""Interface of sources of images, such as folders; each kind of source is one object."""

import dataclasses
from collections.abc import Callable, Mapping

from tailor_tf.data.fingerprint import Fingerprint
from tailor_tf.data.splits import Split
from tailor_tf.data.square import Square


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the images of a source are read.

    Attributes:
        square: the rule that makes images square.
        data_dir: folder of TensorFlow Datasets' data sets; its own default if None.
        skip_broken: whether to leave out images that cannot be decoded.
        looked_at: fingerprints of splits, by name, in which no image is broken as an earlier
            program found.
    """

    square: Square
    data_dir: str | None = None
    skip_broken: bool = False
    looked_at: Mapping[str, Fingerprint] = dataclasses.field(default_factory=dict)


# Class names, and the source's splits by name; a test split without labels is None.
Found = tuple[tuple[str, ...], Mapping[str, Split | None]]


@dataclasses.dataclass(frozen=True)
class Source:
    """A kind of source of images, registered in `sources.SOURCES` under its kind.

    A task's images are named `KIND:REST`, such as `folder:flowers`, or `KIND` alone.

    Attributes:
        usage: form of such a name, for error messages and the help of flags.
        load: function of REST and of the way to read the images; returns classes and splits.
        name: function of REST; returns the task's name, unless a person gives it another one.
        mirrors: function of REST; returns whether mirrored images keep their class, so that
            training mirrors them by default.
        has_rest: whether REST is required; if not, it is not allowed.
        place: function of REST; returns the same text for all names of the same images.
    """

    usage: str
    load: Callable[[str, Reading], Found]
    name: Callable[[str], str]
    mirrors: Callable[[str], bool]
    has_rest: bool = True
    place: Callable[[str], str] = lambda rest: rest
