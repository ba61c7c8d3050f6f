"""Images that cannot be decoded: refused together in one message, or left out."""

from collections.abc import Mapping

from absl import logging

from tailor_tf.data import formats
from tailor_tf.data.errors import DataError
from tailor_tf.support import limits

_SHOWN = 3  # images that a message names


def settle(broken: Mapping[str, str], count: int, *, skip: bool) -> None:
    """Warns of broken images if they may be left out, and refuses them otherwise.

    Args:
        broken: the reason for each broken image, by its name for a person, such as its file's.
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


def _named(broken: Mapping[str, str]) -> str:
    first = list(broken.items())[:_SHOWN]
    shown = [f"{name}: {reason.rstrip('.')}" for name, reason in first]
    more = len(broken) - _SHOWN
    return "; ".join(shown) + (f"; and {more} more." if more > 0 else ".")
