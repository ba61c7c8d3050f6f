"""Flag of the networks to measure, as NAME:SIDE or NAME:SIDE:BATCH."""

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.common import values

SHIPPED = "shipped"  # the network for small pictures that comes with the project


class Network(NamedTuple):
    """An item of `--networks`: a backbone, side of the images in pixels, images per batch."""

    name: str
    side: int
    batch: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in self if part is not None)


def define(default: Sequence[str], *, batch: bool = True) -> None:
    """Defines --networks, a list of `Network`.

    Args:
        default: items as a person writes them.
        batch: whether an item names the images per batch.
    """
    form = "NAME:SIDE:BATCH" if batch else "NAME:SIDE"
    number = values.NumberParser(int, values.Range(least=1, most=values.LARGEST_SIDE))

    def item(received: str) -> Network:
        name, *numbers = received.split(":")
        if not name or len(numbers) != 1 + batch:
            raise ValueError(f"received {received!r}; expected {form}")
        return Network(name, *map(number.parse, numbers))

    text = f"Networks as {form}: a backbone, side of the images in pixels"
    text += ", images per batch." if batch else "."
    values.define_list("networks", list(map(item, default)), text, item)
