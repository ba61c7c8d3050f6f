"""Rule that makes an image of any shape a square."""

import dataclasses

from tailor_tf.data.errors import DataError

FITS = ("crop", "squeeze", "pad")
"""Ways to fit an image into a square; the first one is the default."""


@dataclasses.dataclass(frozen=True)
class Square:
    """Rule that makes an image of any shape a square.

    | `fit` | the square shows | scaled to `side` |
    | --- | --- | --- |
    | `crop` | the centre, in its proportions | the shorter side |
    | `squeeze` | the whole image, distorted | both sides |
    | `pad` | the whole image in its proportions, centred | the longer side |

    `pad` repeats the image's outermost pixels up to the border of the square. A colour, such as the
    mean, would make the rule depend on statistics that are measured on the squares themselves.

    Attributes:
        side: side of the square, pixels.
        fit: one of `FITS`.

    Raises:
        DataError: if a value is outside its range.
    """

    side: int
    fit: str = FITS[0]

    def __post_init__(self) -> None:
        if self.side < 1:
            raise DataError(f"The side of a square is {self.side}; expected 1 or more pixels.")
        if self.fit not in FITS:
            raise DataError(f"fit is {self.fit!r}; expected one of {', '.join(FITS)}.")
