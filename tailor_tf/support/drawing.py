"""Colors of all pictures, and how pictures are written to files."""

import os
import pathlib
from typing import TYPE_CHECKING

from tailor_tf.support.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, DARK, PALE = "#1f5fa8", "#d1580b", "#3c4650", "#a6adb5"


def save(figure: "Figure", path: str | os.PathLike) -> None:
    """Writes a figure in one piece; the extension names the format.

    The same figure always gives the same bytes.
    """
    import matplotlib

    form = pathlib.Path(path).suffix[1:]
    undated = {"Date": None} if form == "svg" else {}
    with replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "tailor_tf"}):
        figure.savefig(temporary, format=form, dpi=160, metadata=undated)
