"""The rotation tag: read like Pillow reads it, and never a reason to fail."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tailor_tf.data.orientation import UPRIGHT, read_orientation, upright
from tests.data.pictures import photograph, smooth_image

PICTURE = smooth_image(16, 10)


def read(content: bytes) -> int:
    return int(read_orientation(tf.constant(content)))


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">HH", marker, 2 + len(content)) + content


def exif(entries: list[tuple[int, int, int]], order: str = "<", start: int = 8) -> bytes:
    """An Exif segment with a table of tags, types and values."""
    header = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, start)
    table = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in entries:
        # A short value comes first in its four bytes, whatever the order of the bytes.
        short = struct.pack(f"{order}HH", value, 0)
        table += struct.pack(f"{order}HHI", tag, kind, 1) + short
    return segment(0xFFE1, b"Exif\0\0" + header.ljust(start, b"\0") + table + bytes(4))


def with_segments(*segments: bytes) -> bytes:
    """A JPEG file with segments of a program before those of the image."""
    file = io.BytesIO()
    PICTURE.save(file, "JPEG")
    return file.getvalue()[:2] + b"".join(segments) + file.getvalue()[2:]


def pillow_orientation(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as image:
        return image.getexif().get(0x0112, UPRIGHT)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tag_and_pixels_equal_pillows(orientation: int):
    content = photograph(PICTURE, orientation)
    assert read(content) == orientation
    pixels = tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE")
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright(pixels, tf.constant(orientation)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("start", [8, 200])
def test_both_orders_of_bytes_and_any_place_of_the_table(order: str, start: int):
    entries = [(0x010F, 2, 0), (0x0112, 3, 6), (0x0213, 3, 1)]
    content = with_segments(exif(entries, order, start))
    assert read(content) == pillow_orientation(content) == 6


def test_segments_of_other_programs_may_come_first():
    adobe = segment(0xFFE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    before = [segment(0xFFE0, b"JFIF\0" + bytes(9)), segment(0xFFFE, b"a comment"), adobe]
    content = with_segments(*before, exif([(0x0112, 3, 8)]))
    assert read(content) == pillow_orientation(content) == 8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8",
        photograph(PICTURE, None),
        photograph(PICTURE, 6, "PNG"),
        with_segments(),
        with_segments(exif([(0x0112, 3, 0)])),
        with_segments(exif([(0x0112, 3, 9)])),
        with_segments(exif([(0x0112, 2, 6)])),
        with_segments(segment(0xFFE1, b"Exif\0\0")),
        with_segments(segment(0xFFE1, b"Exif\0\0II*\0\xff\xff\xff\xff")),
        with_segments(*[segment(0xFFE5, b"")] * 1000, exif([(0x0112, 3, 6)])),
    ],
)
def test_other_files_are_upright(content: bytes):
    assert read(content) == UPRIGHT


def test_damaged_data_are_no_reason_to_fail():
    """Random bytes in the Exif segment, and files that end anywhere in it."""
    content = photograph(PICTURE, 6)
    start = content.index(b"Exif")
    stop = start + int.from_bytes(content[start - 2 : start], "big") - 2
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in random.integers(start, stop, 3):
            damaged[place] = random.integers(256)
        assert 1 <= read(bytes(damaged)) <= 8
        tf.io.decode_jpeg(bytes(damaged))
    for end in range(2, stop):
        assert read(content[:end]) in (UPRIGHT, 6)
