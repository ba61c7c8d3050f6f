"""Parts of an HTML page that needs no other file."""

import html
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from tailor_tf.support.files import write_text

_STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --soft: #5b6673; --line: #d8dee5;
  --back: #fbfcfd; --card: #ffffff; --accent: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e9ef; --soft: #9aa6b3; --line: #333d49;
  --back: #14181d; --card: #1c2229; --accent: #7db2ee; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h3 { font-size: .95rem; margin: 1.5rem 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { max-width: 48rem; } .soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.5rem 0; padding: 0; }
.cards div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem 1rem; }
.cards dt { color: var(--soft); font-size: .85rem; }
.cards dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.cards dd + dd { color: var(--soft); font-size: .85rem; }
.wide { overflow-x: auto; max-width: 100%; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem; border-bottom: 1px solid var(--line); text-align: right; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th.words, td.words { text-align: left; white-space: nowrap; }
tr.chosen td { color: var(--accent); font-weight: 600; }
figure { margin: 0; background: #fff; border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem; overflow-x: auto; }
figure svg { display: block; max-width: 100%; height: auto; min-width: 34rem; margin: 0 auto; }
.gallery { display: flex; flex-wrap: wrap; gap: .75rem; margin: .75rem 0; font-size: .8rem; }
.gallery div { width: 7rem; overflow-wrap: anywhere; }
.gallery img { display: block; width: 4rem; height: 4rem; object-fit: contain;
  image-rendering: pixelated; margin-bottom: .25rem; background: #fff; border-radius: .25rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem 1rem; overflow-x: auto; font-size: .85rem; }
"""


_WIDE = 1000  # points
_READABLE = 0.7  # of its own size


def table(rows: Sequence[Sequence[str]], *, words: int = 1, chosen: int | None = None) -> str:
    """Rows of cells as an HTML table, the header first.

    Args:
        rows: plain text.
        words: how many of the first columns hold words and not numbers.
        chosen: index of the row to stand out, the header counted.
    """
    lines = []
    for index, row in enumerate(rows):
        tag = "td" if index else "th"
        cells = []
        for column, cell in enumerate(row):
            kind = ' class="words"' if column < words else ""
            cells.append(f"<{tag}{kind}>{html.escape(cell)}</{tag}>")
        kind = ' class="chosen"' if index == chosen else ""
        lines.append(f"<tr{kind}>{''.join(cells)}</tr>")
    parts = f"<thead>{lines[0]}</thead><tbody>{''.join(lines[1:])}</tbody>"
    return f'<div class="wide"><table>{parts}</table></div>'


def cards(figures: Iterable[tuple[str, str, str]]) -> str:
    """What matters most: a name, a value and what to compare it with, each."""
    inner = []
    for name, *values in figures:
        told = "".join(f"<dd>{html.escape(value)}</dd>" for value in values if value)
        inner.append(f"<div><dt>{html.escape(name)}</dt>{told}</div>")
    return f'<dl class="cards">{"".join(inner)}</dl>'


def picture(path: str | os.PathLike, label: str) -> str:
    """An SVG file as a figure of the page."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    drawing = text[text.index("<svg") :]
    own = re.sub(r"\W", "", label)  # identities are the page's, and several pictures share it
    drawing = re.sub(r'(\bid="|href="#|url\(#)(?!block)', rf"\g<1>{own}-", drawing)
    label = html.escape(label)
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{label}"{_width(drawing)} ', 1)
    return f"<figure>{drawing}</figure>"


def _width(drawing: str) -> str:
    """Keeps a wide drawing, such as that of a network of many blocks, from shrinking too far."""
    points = float(re.search(r'width="([\d.]+)pt"', drawing)[1])
    least = _READABLE * points
    return f' style="min-width: {least:.0f}pt"' if points > _WIDE else ""


def gallery(images: Iterable[tuple[str, str]]) -> str:
    """Small images side by side: base64 of a PNG file and what stands below, each."""
    inner = [
        f'<div><img alt="" src="data:image/png;base64,{image}">{html.escape(text)}</div>'
        for image, text in images
    ]
    return f'<div class="gallery">{"".join(inner)}</div>'


def document(title: str, body: Iterable[str]) -> str:
    """A whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        # An icon of its own, or browsers ask a server for one.
        '<link rel="icon" href="data:,"></head>\n'
        f"<body>{''.join(body)}</body></html>\n"
    )


def section(title: str, *content: str) -> str:
    """A part of a page under its heading."""
    return f"<section><h2>{html.escape(title)}</h2>{''.join(content)}</section>"


def subtitle(text: str) -> str:
    """A heading within a section."""
    return f"<h3>{html.escape(text)}</h3>"


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def preformatted(path: str | os.PathLike) -> str:
    """A text file as it stands; nothing where there is none."""
    path = pathlib.Path(path)
    return f"<pre>{html.escape(path.read_text(encoding='utf-8'))}</pre>" if path.exists() else ""


def write(path: str | os.PathLike, title: str, body: Iterable[str]) -> None:
    """Writes a page in one piece."""
    write_text(pathlib.Path(path), document(title, body))
