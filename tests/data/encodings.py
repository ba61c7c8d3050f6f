"""Image files in all formats and variants, each with the pixels that Pillow or NumPy has for them.

`ACCEPTED` holds files with pixels, uint8 `[height, width, 3]`; `REFUSED` holds files that nothing
of the project reads, each with a part of the reason.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.data.pictures import smooth_image

PICTURE = smooth_image(20, 13)
GREY = PICTURE.convert("L")
PALETTE = PICTURE.convert("P", palette=Image.Palette.ADAPTIVE, colors=200)
FEW_COLOURS = PICTURE.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
FRAMES = [PICTURE.rotate(turn) for turn in (0, 180, 30)]


def _with_alpha(picture: Image.Image) -> Image.Image:
    """The upper half is transparent, some rows are half so."""
    alpha = np.full((picture.height, picture.width), 255, np.uint8)
    alpha[:6], alpha[6:9] = 0, 100
    found = picture.convert("LA" if picture.mode == "L" else "RGBA")
    found.putalpha(Image.fromarray(alpha))
    return found


TRANSPARENT = _with_alpha(PICTURE)


def written(picture: Image.Image, kind: str, **options) -> bytes:
    """The content of a file that Pillow writes."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pillow_pixels(content: bytes) -> np.ndarray:
    """The first picture as RGB; transparency is dropped."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"))


def png(levels: np.ndarray, *, side: int | None = None) -> bytes:
    """A PNG file of 8 or 16 bits, also in modes that Pillow does not write.

    Args:
        levels: uint8 or uint16 `[height, width, channels]`, with 1 to 4 channels.
        side: height and width that the file claims to have, if not its own.
    """
    height, width, channels = levels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBB", side or width, side or height, 8 * levels.itemsize, kind)
    rows = b"".join(b"\0" + row.tobytes() for row in levels.astype(levels.dtype.newbyteorder(">")))
    chunks = [(b"IHDR", header + bytes(3)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def patched(content: bytes, **fields: tuple[int, str, int]) -> bytes:
    """A file with some numbers replaced: position, format of `struct`, and value of each."""
    changed = bytearray(content)
    for at, form, value in fields.values():
        struct.pack_into(form, changed, at, value)
    return bytes(changed)


def bmp_top_down(picture: Image.Image) -> bytes:
    """A BMP file whose rows begin at the top."""
    content = written(picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM), "BMP")
    return patched(content, height=(22, "<i", -picture.height))


def bmp_with_masks(picture: Image.Image, masks: tuple[int, ...]) -> bytes:
    """A BMP file of 32 bits that says which bits are which colour, as of GIMP."""
    content = written(picture.convert("RGBA"), "BMP")
    pixels = content[struct.unpack_from("<I", content, 10)[0] :]
    header = bytearray(content[14:54].ljust(108, b"\0"))
    struct.pack_into("<I", header, 0, 108)
    struct.pack_into("<I", header, 16, 3)
    struct.pack_into("<4I", header, 40, *masks, 0xFF000000)
    return struct.pack("<2sIII", b"BM", 122 + len(pixels), 0, 122) + bytes(header) + pixels


def gif_beside_its_screen() -> bytes:
    """A GIF file whose first picture leaves a part of its screen empty."""
    content = written(PALETTE, "GIF")
    return patched(content, width=(6, "<H", 40), height=(8, "<H", 40))


def animated(kind: str, **options) -> bytes:
    return written(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:], **options)


_LOSSLESS = {"lossless": True, "exact": True}
_RANDOM = np.random.default_rng(0)
_SIXTEEN = {n: _RANDOM.integers(0, 2**16, (13, 20, n)).astype(np.uint16) for n in (1, 2, 3, 4)}
_BY_PILLOW = {
    "JPEG": written(PICTURE, "JPEG"),
    "JPEG, grey": written(GREY, "JPEG"),
    "JPEG, CMYK": written(PICTURE.convert("CMYK"), "JPEG"),
    "JPEG, progressive": written(PICTURE, "JPEG", progressive=True, quality=90, subsampling=0),
    "JPEG, with a comment": written(PICTURE, "JPEG", comment=b"\xff\xd8\xffabc"),
    "PNG": written(PICTURE, "PNG"),
    "PNG, 1 bit": written(PICTURE.convert("1"), "PNG"),
    "PNG, grey": written(GREY, "PNG"),
    "PNG, grey with alpha": written(_with_alpha(GREY), "PNG"),
    "PNG, grey with a transparent level": written(GREY, "PNG", transparency=100),
    "PNG, table of colours": written(PALETTE, "PNG"),
    "PNG, table of 2 bits": written(FEW_COLOURS, "PNG", bits=2),
    "PNG, table with transparency": written(PALETTE, "PNG", transparency=3),
    "PNG, with alpha": written(TRANSPARENT, "PNG"),
    "PNG, with a transparent colour": written(PICTURE, "PNG", transparency=(1, 2, 3)),
    "PNG, animated": animated("PNG"),
    "BMP": written(PICTURE, "BMP"),
    "BMP, grey": written(GREY, "BMP"),
    "BMP, table of colours": written(PALETTE, "BMP"),
    "BMP, short table": written(FEW_COLOURS, "BMP"),
    "BMP, 32 bits": written(TRANSPARENT, "BMP"),
    "BMP, from the top down": bmp_top_down(PICTURE),
    "BMP, table, from the top down": bmp_top_down(PALETTE),
    "BMP, usual masks": bmp_with_masks(PICTURE, (0xFF0000, 0xFF00, 0xFF)),
    "GIF": written(PICTURE, "GIF"),
    "GIF, grey": written(GREY, "GIF"),
    "GIF, 1 bit": written(PICTURE.convert("1"), "GIF"),
    "GIF, row after row": written(PALETTE, "GIF", interlace=0),
    "GIF, interlaced": written(PALETTE, "GIF", interlace=1),
    "GIF, with a comment": written(PALETTE, "GIF", comment=b"; , !" * 200),
    "GIF, transparent": written(TRANSPARENT, "GIF"),
    "GIF, a transparent colour": written(PALETTE, "GIF", transparency=3),
    "GIF, animated": animated("GIF"),
    "GIF, animated and transparent": animated("GIF", transparency=0, disposal=2),
    "WebP": written(PICTURE, "WEBP"),
    "WebP, lossless": written(PICTURE, "WEBP", **_LOSSLESS),
    "WebP, grey": written(GREY, "WEBP", **_LOSSLESS),
    "WebP, with alpha": written(TRANSPARENT, "WEBP"),
    "WebP, lossless with alpha": written(TRANSPARENT, "WEBP", **_LOSSLESS),
    "WebP, with Exif data": written(PICTURE, "WEBP", exif=PICTURE.getexif().tobytes()),
}

ACCEPTED: dict[str, tuple[bytes, np.ndarray]] = {
    **{name: (content, pillow_pixels(content)) for name, content in _BY_PILLOW.items()},
    # Pillow clips these levels instead of scaling them, or cannot read the mode.
    **{
        f"PNG, 16 bits, {channels} channel(s)": (
            png(levels),
            np.broadcast_to((levels >> 8)[..., : 1 if channels < 3 else 3], (13, 20, 3)),
        )
        for channels, levels in _SIXTEEN.items()
    },
}

_RLE = patched(written(PALETTE, "BMP"), compression=(30, "<I", 1))
_OLD_HEADER = patched(written(PICTURE, "BMP"), size=(14, "<I", 12))

REFUSED: dict[str, tuple[bytes, str]] = {
    "one byte": (b"B", "1 bytes that are no JPEG, PNG, BMP, GIF or WebP image"),
    "text": (b"hello", "5 bytes that are no JPEG, PNG"),
    "TIFF": (written(PICTURE, "TIFF"), "bytes that are no JPEG"),
    "ICO": (written(PICTURE, "ICO"), "bytes that are no JPEG"),
    "JPEG 2000": (written(PICTURE, "JPEG2000"), "bytes that are no JPEG"),
    "RIFF of sound": (b"RIFF\0\0\0\0WAVEfmt ", "bytes that are no JPEG"),
    "BMP, 1 bit": (written(PICTURE.convert("1"), "BMP"), "BMP image of 1 bits"),
    "BMP, 4 bits": (patched(written(PALETTE, "BMP"), bits=(28, "<H", 4)), "BMP image of 4 bits"),
    "BMP, 16 bits": (patched(written(PICTURE, "BMP"), bits=(28, "<H", 16)), "BMP image of 16 bits"),
    "BMP, compressed": (_RLE, "8 bits per pixel and compression 1"),
    "BMP, other masks": (bmp_with_masks(PICTURE, (0xFF, 0xFF00, 0xFF0000)), "compression 3"),
    "BMP, old header": (_OLD_HEADER, "BMP image"),
    "GIF beside its screen": (gif_beside_its_screen(), "does not fill its screen"),
    "WebP, animated": (animated("WEBP"), "animated WebP image; expected a single picture"),
    "WebP, animated with alpha": (
        written(TRANSPARENT, "WEBP", save_all=True, append_images=[TRANSPARENT.rotate(180)]),
        "animated WebP image",
    ),
}
