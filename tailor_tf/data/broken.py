"""Images that cannot be decoded: refused together in one message, or left out."""

import dataclasses
from collections.abc import Callable, Sequence

from absl import logging

from tailor_tf.data import formats
from tailor_tf.data.errors import DataError
from tailor_tf.support import limits

_SHOWN = 3  # images that a message names


@dataclasses.dataclass(frozen=True)
class Broken:
    """An image that cannot be decoded.

    Attributes:
        name: its name for a person, such as that of its file.
        reason: returns why it cannot be decoded; called only if the image is named.
    """

    name: str
    reason: Callable[[], str]


def settle(broken: Sequence[Broken], count: int, *, skip: bool) -> None:
    """Warns of broken images if they may be left out, and refuses them otherwise.

    Args:
        broken: the broken ones among the images.
        count: number of images, broken ones included.
        skip: whether they may be left out.

    Raises:
        DataError: there are broken images that may not be left out; the message counts them and
            names the first ones, each with its reason.
    """
    if not broken:
        return
    if skip and len(broken) < count:
        logging.warning("Left out %d of %d images: %s", len(broken), count, _named(broken))
        return
    many = len(broken) > 1
    amount, them = (f"{len(broken)} of {count} images: ", "them") if many else ("", "it")
    raise DataError(
        f"Cannot decode {amount}{_named(broken)} Expected whole {formats.NAMES} images of at most"
        f" {limits.PIXELS} pixels. Repair or remove {them}, or leave {them} out with --skip_broken."
    )


def _named(broken: Sequence[Broken]) -> str:
    shown = [f"{image.name}: {image.reason().rstrip('.')}" for image in broken[:_SHOWN]]
    more = len(broken) - _SHOWN
    return "; ".join(shown) + (f"; and {more} more." if more > 0 else ".")
