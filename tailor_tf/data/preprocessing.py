"""Preprocessing: from an image to the input of a network."""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from tailor_tf.data.errors import DataError
from tailor_tf.data.square import FITS, Square
from tailor_tf.support import limits

# Fields that older files lack, with the values that these files were made with.
_LATER = {"fit": FITS[0], "crop_scale": 1.0, "jitter": 0.0}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of images in training and serving, and augmentation in training.

    An image is made a square of `resize` pixels. From this square a window of `image_size` pixels
    is taken: the central one, or in training a random one. A network's input is
    `(window / 255 - mean) / std`, channel by channel.

    Attributes:
        image_size: side of the network's square input, pixels.
        mean: mean of red, green and blue in images scaled to 0..1.
        std: standard deviation of red, green and blue, likewise.
        flip: whether training mirrors images left to right at random.
        crop_padding: zeros that training adds to each side of the square before it takes a random
            window, pixels.
        resize: side of the square, pixels; 0 for `image_size`.
        fit: way to fit an image into the square, one of `square.FITS`.
        crop_scale: smallest part of the square's area that training cuts out and scales to
            `image_size`, above 0; 1 for a window that is not scaled.
        jitter: largest change of brightness, contrast and saturation in training, as a part of
            each; 0 for none.

    Raises:
        DataError: if a value is outside its range.

    Example:

    >>> half = Preprocessing(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), flip=True, crop_padding=4)
    >>> half.margin
    0
    >>> Preprocessing.from_dict(half.as_dict()) == half
    True
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    _: dataclasses.KW_ONLY
    flip: bool
    crop_padding: int
    resize: int = 0
    fit: str = _LATER["fit"]
    crop_scale: float = _LATER["crop_scale"]
    jitter: float = _LATER["jitter"]

    def __post_init__(self) -> None:
        if not self.resize:
            object.__setattr__(self, "resize", self.image_size)
        self._check_numbers()
        if self.image_size < 1:
            raise DataError(f"image_size is {self.image_size}; expected 1 or more pixels.")
        if self.resize < self.image_size:
            raise DataError(
                f"resize is {self.resize}; expected at least the image_size, {self.image_size}."
            )
        if self.crop_padding < 0:
            raise DataError(f"crop_padding is {self.crop_padding}; expected 0 or more pixels.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise DataError(
                f"mean is {self.mean} and std is {self.std}; expected three numbers each, one per"
                " channel, and std above 0."
            )
        Square(self.resize, self.fit)  # refuses an unknown fit
        self._check_augmentation()

    def _check_numbers(self) -> None:
        """Refuses values that are no numbers, and sides for which no memory is large enough."""
        whole = (self.image_size, self.resize, self.crop_padding)
        others = (*self.mean, *self.std, self.crop_scale, self.jitter)
        kinds_ok = all(isinstance(n, numbers.Integral) for n in whole) and all(
            isinstance(n, numbers.Real) and math.isfinite(n) for n in others
        )
        if not kinds_ok or max(whole) > limits.SIDE:
            raise DataError(
                f"Preprocessing received the numbers {[*whole, *others]}; expected finite numbers, "
                f"and sides and padding in whole pixels, {limits.SIDE} at most."
            )

    def _check_augmentation(self) -> None:
        if not 0 < self.crop_scale <= 1:
            raise DataError(
                f"crop_scale is {self.crop_scale}; expected a part of an image's area, above 0 and"
                " at most 1."
            )
        if not 0 <= self.jitter < 1:
            raise DataError(f"jitter is {self.jitter}; expected a number from 0 and below 1.")
        if self.crops_scaled and self.crop_padding:
            raise DataError(
                f"crop_scale is {self.crop_scale} and crop_padding is {self.crop_padding}; expected"
                " one way to crop in training: a crop_scale of 1, or a crop_padding of 0."
            )

    @property
    def margin(self) -> int:
        """Side of the square minus side of the window, pixels."""
        return self.resize - self.image_size

    @property
    def square(self) -> Square:
        """The rule that makes an image a square."""
        return Square(self.resize, self.fit)

    @property
    def crops_scaled(self) -> bool:
        """Whether training scales its random windows to `image_size`."""
        return self.crop_scale < 1

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values; fields that older files lack only where they matter."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value != _LATER.get(name)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """The inverse of `as_dict`.

        Raises:
            DataError: if a field is missing or unknown; the message lists the fields received and
                the fields expected.
        """
        if not isinstance(data, Mapping):
            raise DataError("Preprocessing is no JSON object; expected one with its fields.")
        fields = {field.name for field in dataclasses.fields(cls)}
        if not fields - _LATER.keys() <= data.keys() <= fields:
            raise DataError(
                f"Preprocessing received the fields {sorted(data)}; expected {sorted(fields)}."
            )
        return cls(**{**data, "mean": tuple(data["mean"]), "std": tuple(data["std"])})

    def normalise(self, images: Any) -> Any:
        """Normalises pixels: `(image / 255 - mean) / std`.

        Args:
            images: uint8 or float `[..., 3]`, levels 0..255, red, green, blue.

        Returns:
            float32 `[..., 3]`, the network's input.
        """
        scale = 1.0 / (255.0 * np.asarray(self.std))
        offset = -np.asarray(self.mean) / np.asarray(self.std)
        return ops.cast(images, "float32") * scale.astype(np.float32) + offset.astype(np.float32)
