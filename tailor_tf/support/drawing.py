"""Colors of all pictures, and how pictures are written to files."""

import contextlib
import functools
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from absl import logging

from tailor_tf.support.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, DARK, PALE = "#1f5fa8", "#d1580b", "#3c4650", "#a6adb5"


def save(figure: "Figure", path: str | os.PathLike) -> None:
    """Writes a figure in one piece; the extension names the format.

    The same figure always gives the same bytes. Texts are shown literally: the dollar signs in a
    name of a class are no formula. Letters that Matplotlib's font does not have are drawn in a font
    of this machine that has them; if there is none, a warning says so once.
    """
    import matplotlib

    form = pathlib.Path(path).suffix[1:]
    undated = {"Date": None} if form == "svg" else {}
    literal = {"svg.hashsalt": "tailor_tf", "text.parse_math": False}
    with replacing(path) as temporary, matplotlib.rc_context(literal), _without_glyph_warnings():
        _prepare_texts(figure)
        figure.savefig(temporary, format=form, dpi=160, metadata=undated)


def _prepare_texts(figure: "Figure") -> None:
    from matplotlib.text import Text

    texts = figure.findobj(Text)
    missing = _missing("".join({text.get_text() for text in texts}))
    fonts = _fonts_with(missing) if missing else ()
    for text in texts:
        text.set_parse_math(False)
        if fonts and missing.intersection(text.get_text()):
            text.set_fontfamily([*text.get_fontfamily(), *fonts])


@contextlib.contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Context manager: drops the warning for each letter; `_fonts_with` has one for all."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font")
        yield


def _missing(text: str) -> frozenset[str]:
    """Letters that are not in Matplotlib's own font."""
    from matplotlib import font_manager, get_data_path

    own = pathlib.Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    known = font_manager.get_font(str(own)).get_charmap()
    return frozenset(c for c in text if c.isprintable() and ord(c) not in known)


@functools.cache
def _fonts_with(letters: frozenset[str]) -> tuple[str, ...]:
    """Families of this machine's fonts that have some letters between them, as far as any do."""
    from matplotlib import font_manager

    left, found = set(letters), []
    for entry in font_manager.fontManager.ttflist:
        if entry.name.startswith("Last Resort"):  # a font of boxes
            continue
        known = font_manager.get_font(entry.fname).get_charmap()
        if having := {letter for letter in left if ord(letter) in known}:
            left -= having
            found.append(entry.name)
        if not left:
            return tuple(found)
    _warn_of_boxes()
    return tuple(found)


@functools.cache
def _warn_of_boxes() -> None:
    logging.warning(
        "No font of this machine has all letters of the names in the pictures, which show boxes in "
        "their place; a font such as Noto Sans CJK has them."
    )
