"""Pictures, and image files with the data of a camera."""

import io

import numpy as np
from PIL import Image


def smooth_image(width: int, height: int) -> Image.Image:
    """A colourful picture without hard edges, which every JPEG decoder has to interpolate."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 5), np.cos(columns / 7), np.sin((rows + columns) / 9)]
    return Image.fromarray((127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8))


def photograph(
    picture: Image.Image, orientation: int | None, kind: str = "JPEG", **options
) -> bytes:
    """An image file whose Exif data hold, among others, the tag Orientation."""
    exif = picture.getexif()
    exif[0x010F] = "Maker of the camera"
    exif[0x011A] = 72.0
    if orientation is not None:
        exif[0x0112] = orientation
    file = io.BytesIO()
    picture.save(file, kind, exif=exif, **options)
    return file.getvalue()
