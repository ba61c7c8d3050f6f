"""Levels of pruning."""

import dataclasses
import math

from tailor_tf.support.errors import TailorError


@dataclasses.dataclass(frozen=True)
class Level:
    """A level of pruning: how much is removed from a student.

    Attributes:
        blocks: number of universal blocks to remove; the smallest gates are removed first.
        proxies: largest number of proxies to keep, by the size of their gates; `None` to keep all
            proxies above the threshold.

    Example:

    >>> str(Level.parse("6_8"))
    '6 universal blocks to remove, 8 proxies to keep'
    """

    blocks: int
    proxies: int | None = None

    @property
    def name(self) -> str:
        """The level in file names: "6", or "6_8" if 8 proxies are kept."""
        return f"{self.blocks}" if self.proxies is None else f"{self.blocks}_{self.proxies}"

    @property
    def leanness(self) -> tuple[float, float]:
        """Sort key: leaner networks compare greater."""
        return self.blocks, -math.inf if self.proxies is None else -self.proxies

    @classmethod
    def parse(cls, name: str) -> "Level":
        """The inverse of `name`.

        Raises:
            TailorError: the name is not one or two whole numbers.
        """
        try:
            blocks, *proxies = map(int, str(name).split("_"))
            return cls(blocks, *proxies)
        except (ValueError, TypeError) as error:
            raise TailorError(f"{name!r} is no level; expected such as '6' or '6_8'.") from error

    def __str__(self) -> str:
        blocks = f"{self.blocks} universal block{'' if self.blocks == 1 else 's'} to remove"
        return blocks if self.proxies is None else f"{blocks}, {self.proxies} proxies to keep"
