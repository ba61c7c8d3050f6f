"""SVG pictures as parts of a page that holds several of them."""

import re
from collections.abc import Mapping

from markupsafe import Markup, escape

_WIDE = 1000  # points
_READABLE = 0.7  # least scale at which the text of a wide picture can be read


def inline(svg: str, label: str, titles: Mapping[str, str]) -> Markup:
    """An SVG file as an element of a page.

    Ids that do not begin with `block` get the label as prefix, because ids are the page's and
    several pictures have the same ones.

    Args:
        svg: the content of the file; it is trusted.
        label: description for people who cannot see the picture; unique on the page.
        titles: texts that appear where the pointer rests on an element, by the element's id.
    """
    drawing = svg[svg.index("<svg") :]
    prefix = re.sub(r"\W", "", label)
    drawing = re.sub(r'(\bid="|href="#|url\(#)(?!block)', rf"\g<1>{prefix}-", drawing)
    described = f'<svg role="img" aria-label="{escape(label)}"{_least_width(drawing)} '
    drawing = drawing.replace("<svg ", described, 1)
    for name, text in titles.items():
        group = f'<g id="{name}">'
        drawing = drawing.replace(group, f"{group}<title>{escape(text)}</title>")
    return Markup(drawing)


def _least_width(drawing: str) -> str:
    """Keeps a wide picture, such as of a network of many blocks, from shrinking too far."""
    points = float(re.search(r'width="([\d.]+)pt"', drawing)[1])
    return f' style="min-width: {_READABLE * points:.0f}pt"' if points > _WIDE else ""
