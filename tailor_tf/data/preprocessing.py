"""How an image becomes the input of a network."""

import dataclasses
import json

import numpy as np
import tensorflow as tf

from tailor_tf.data.errors import DataError
from tailor_tf.data.images import Images

STATISTICS_IMAGES = 5000
"""At most so many training images, evenly spaced, give the mean and the standard deviation."""

SMALLEST_STD = 1e-3
_STATISTICS_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Everything that a served network must repeat, and the augmentation it was trained with.

    The shorter side of an image is scaled to `resize` pixels, the central square of that side cut
    out, and a window of `image_size` pixels taken from it: the central one, or in training one at
    random. A network's input is `(window / 255 - mean) / std`, channel by channel.

    Attributes:
        image_size: side of the network's square input, pixels.
        mean: mean of red, green and blue in images scaled to 0..1.
        std: their standard deviation.
        flip: whether training mirrors images left to right at random.
        crop_padding: training pads the square by that many pixels per side before it takes its
            window.
        resize: side of the square, pixels; `image_size` where 0.

    Raises:
        DataError: if a value is outside its range.

    Example:

    >>> half = Preprocessing(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), flip=True, crop_padding=4)
    >>> half.margin
    0
    >>> Preprocessing.from_json(half.to_json()) == half
    True
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    flip: bool
    crop_padding: int
    resize: int = 0

    def __post_init__(self) -> None:
        if not self.resize:
            object.__setattr__(self, "resize", self.image_size)
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

    @property
    def margin(self) -> int:
        """Pixels by which the square is larger than the window."""
        return self.resize - self.image_size

    def to_json(self) -> str:
        """Returns the fields as a JSON object."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """The inverse of `to_json`.

        Raises:
            DataError: if a field is missing or unknown; names those received and expected.
        """
        data = json.loads(text)
        fields = {field.name for field in dataclasses.fields(cls)}
        if data.keys() != fields:
            raise DataError(
                f"Preprocessing received the fields {sorted(data)}; expected {sorted(fields)}."
            )
        return cls(**{**data, "mean": tuple(data["mean"]), "std": tuple(data["std"])})

    def normalise(self, images: tf.Tensor) -> tf.Tensor:
        """Scales pixels to the network's input.

        Args:
            images: uint8 or float `[..., 3]`, levels 0..255, red, green, blue.

        Returns:
            float32, same shape.
        """
        scale = 1.0 / (255.0 * np.asarray(self.std))
        offset = -np.asarray(self.mean) / np.asarray(self.std)
        return tf.cast(images, tf.float32) * scale.astype(np.float32) + offset.astype(np.float32)


def channel_statistics(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Measures the colours of a set of images.

    Args:
        images: uint8 `[examples, height, width, 3]`; of more than `STATISTICS_IMAGES`, that many
            evenly spaced ones are looked at.

    Returns:
        Mean and standard deviation of the pixels scaled to 0..1, float64 `[3]` each; the latter at
        least `SMALLEST_STD`, so that images of one colour can be normalised.
    """
    chosen = np.linspace(0, len(images) - 1, min(len(images), STATISTICS_IMAGES)).astype(int)
    histogram = np.zeros((3, 256))
    for start in range(0, len(chosen), _STATISTICS_BATCH):
        pixels = images[chosen[start : start + _STATISTICS_BATCH]]
        for channel in range(3):
            histogram[channel] += np.bincount(pixels[..., channel].ravel(), minlength=256)
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    levels = np.arange(256) / 255
    mean = weights @ levels
    variance = (weights * (levels - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.maximum(np.sqrt(variance), SMALLEST_STD)
