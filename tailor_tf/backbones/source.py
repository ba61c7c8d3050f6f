"""Interface of sources of universal networks, such as files; each kind of source is one object."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tailor_tf.backbones.universal import Universal


@dataclasses.dataclass(frozen=True)
class Source:
    """A kind of source of universal networks, registered in `loading.SOURCES`.

    Attributes:
        usage: form of the names of its networks, for error messages and the help of flags.
        accepts: function of the name and of the backbone's name or `None`; returns whether the
            network comes from this source.
        load: function of the name, the backbone's name or `None`, and settings of the backbone,
            which replace the source's own; returns the network.
        of_any_model: whether its networks are models that may not say how their images are
            normalised, so that `load` has a setting `normalisation`.
    """

    usage: str
    accepts: Callable[[str, str | None], bool]
    load: Callable[[str, str | None, Mapping[str, Any]], Universal]
    of_any_model: bool = False
