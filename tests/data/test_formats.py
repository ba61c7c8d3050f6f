"""Formats of image files: every variant is read as Pillow reads it, or refused."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tailor_tf.data import formats
from tailor_tf.data.decoding import decode_batch, decode_content, make_square
from tailor_tf.data.errors import DataError
from tailor_tf.data.formats.gif import GIF
from tailor_tf.data.images import fill_images
from tailor_tf.data.square import Square
from tailor_tf.support import limits
from tests.data import encodings
from tests.data.encodings import ACCEPTED, REFUSED, patched, png, written

SQUARE = Square(16)


def why_refused(content: bytes, square: Square = SQUARE) -> str:
    with pytest.raises(DataError) as error:
        decode_content(content, square)
    return str(error.value)


@pytest.fixture(scope="module")
def squares() -> dict[str, np.ndarray]:
    """The files that are accepted, decoded together, as a training does."""
    found = np.empty((len(ACCEPTED), 16, 16, 3), np.uint8)
    assert not fill_images(found, [content for content, _ in ACCEPTED.values()], SQUARE)
    return dict(zip(ACCEPTED, found, strict=True))


@pytest.mark.parametrize("name", ACCEPTED)
def test_pixels_equal_the_oracles(squares, name: str):
    _, pixels = ACCEPTED[name]
    np.testing.assert_array_equal(squares[name], make_square(tf.constant(pixels), SQUARE))


def test_every_format_is_in_the_table():
    assert {name.partition(",")[0] for name in ACCEPTED} == {f.name for f in formats.FORMATS}


@pytest.fixture(scope="module")
def reasons() -> dict[str, str]:
    """Why files are refused."""
    found = fill_images(None, [content for content, _ in REFUSED.values()], SQUARE)
    return dict(zip(REFUSED, found.values(), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_well_is_refused(reasons, name: str):
    _, reason = REFUSED[name]
    assert reason in reasons[name]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.8])
def test_files_that_are_cut_short_are_refused(part: float):
    """Of an animation, the first picture may be whole in a longer part."""
    whole = [content for name, (content, _) in ACCEPTED.items() if "animated" not in name]
    cut = [content[: int(part * len(content))] for content in whole]
    assert list(fill_images(None, cut, SQUARE)) == list(range(len(whole)))


def test_damaged_headers_are_refused_or_read_and_never_worse():
    random = np.random.default_rng(0)
    for content, _ in ACCEPTED.values():
        for _ in range(20):
            damaged = bytearray(content)
            for place in random.integers(0, min(len(damaged), 60), 3):
                damaged[place] = random.integers(256)
            try:
                assert decode_content(bytes(damaged), SQUARE).shape == (16, 16, 3)
            except DataError as error:
                assert str(error)


def test_a_batch_is_decoded_like_its_images():
    contents = [content for content, _ in ACCEPTED.values()]
    batch = tf.function(decode_batch)(tf.constant(contents), SQUARE)
    for found, content in zip(batch, contents, strict=True):
        np.testing.assert_array_equal(found, decode_content(content, SQUARE))


def test_the_decoder_of_gif_files_gets_the_first_picture_alone():
    """Others are not read into memory, however many there are."""
    frames = [encodings.PICTURE.rotate(90 * turn) for turn in range(30)]
    content = written(frames[0], "GIF", save_all=True, append_images=frames[1:])
    _, first = GIF.header(tf.constant(content))
    with Image.open(io.BytesIO(first.numpy())) as alone, Image.open(io.BytesIO(content)) as all_of:
        assert (alone.n_frames, all_of.n_frames) == (1, 30)
        np.testing.assert_array_equal(alone.convert("RGB"), all_of.convert("RGB"))


def huge(kind: str, side: int = 16_383) -> bytes:
    """A small file of a format that declares a picture of `side` x `side` pixels."""
    picture = encodings.PICTURE
    if kind == "PNG":
        return png(np.zeros((1, 1, 3), np.uint8), side=side)
    if kind == "JPEG":
        content = written(picture, "JPEG")
        at = content.index(b"\xff\xc0") + 5
        return patched(content, height=(at, ">H", side), width=(at + 2, ">H", side))
    if kind == "BMP":
        return patched(written(picture, "BMP"), width=(18, "<i", side), height=(22, "<i", -side))
    if kind == "GIF":
        content = written(encodings.PALETTE, "GIF")
        at = content.index(b",\0\0\0\0") + 5
        places = {"a": 6, "b": 8, "c": at, "d": at + 2}
        return patched(content, **{name: (place, "<H", side) for name, place in places.items()})
    if kind == "WebP":
        content = written(picture, "WEBP")
        return patched(content, width=(26, "<H", side), height=(28, "<H", side))
    if kind == "WebP, lossless":
        content = written(picture, "WEBP", lossless=True)
        return patched(content, both=(21, "<I", (side - 1) * (2**14 + 1)))
    content = written(encodings.TRANSPARENT, "WEBP")
    for place in (24, 27):
        content = content[:place] + (side - 1).to_bytes(3, "little") + content[place + 3 :]
    return content


KINDS = ["PNG", "JPEG", "BMP", "GIF", "WebP", "WebP, lossless", "WebP, extended"]


def test_small_files_of_huge_pictures_are_refused_by_their_headers():
    found = fill_images(None, map(huge, KINDS), SQUARE)
    assert len(found) == len(KINDS)
    assert set(found.values()) == {f"Received an {limit(16_383, 16_383)}"}


def limit(height: int, width: int) -> str:
    most = f"--max_pixels={limits.PIXELS}"
    return f"image of {height}x{width} pixels; expected at most {most}, scaled or not."


def header(height: int, width: int) -> bytes:
    """A PNG file that says how large it is and holds no pixels."""
    sides = {"width": (16, ">I", width), "height": (20, ">I", height)}
    return patched(png(np.zeros((1, 1, 3), np.uint8)), **sides)


@pytest.mark.parametrize(("height", "width"), [(8193, 8192), (8192, 8193), (65_535, 65_535)])
def test_more_pixels_are_refused_by_the_header(height: int, width: int):
    assert limit(height, width) in why_refused(header(height, width), Square(8))


def test_the_pixels_of_an_image_that_is_not_too_large_are_read():
    """There are none in this file, which is another error."""
    message = why_refused(header(8192, 8192), Square(8))
    assert message and limit(8192, 8192) not in message


def test_more_pixels_once_they_are_scaled_are_refused():
    """The shorter side is scaled to 256 pixels, and the longer one likewise: 256 times each."""
    assert limit(1025, 1) in why_refused(header(1025, 1), Square(256))
    assert limit(1, 1025) in why_refused(header(1, 1025), Square(256))
    assert limit(1024, 1) not in why_refused(header(1024, 1), Square(256))


@pytest.mark.parametrize("fit", ["squeeze", "pad"])
def test_rules_that_scale_to_the_square_have_no_such_limit(fit: str):
    assert "scaled or not" not in why_refused(header(1025, 1), Square(256, fit))
    assert limit(8193, 8192) in why_refused(header(8193, 8192), Square(256, fit))


def test_long_jpeg_files_have_the_same_limits():
    long, short = (written(Image.new("L", (8, n)), "JPEG", quality=1) for n in (65_500, 20))
    assert limit(65_500, 8) in why_refused(long, Square(256))
    assert decode_content(short, Square(256)).shape == (256, 256, 3)
