"""Questions to figures: values at a place, places of labels, lines, as a reader sees them."""

from matplotlib.backend_bases import MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg


def laid_out(figure):
    """The figure after its layout, so that places are where they are drawn."""
    FigureCanvasAgg(figure).draw()
    return figure


def value_at(axes, x, y):
    """Value of the image that is drawn at a place, in the coordinates of its axes."""
    place = axes.transData.transform((x, y))
    event = MouseEvent("motion_notify_event", axes.figure.canvas, *place)
    return axes.images[0].get_cursor_data(event)


def columns(axes):
    """Labels at the x axis with their coordinates, from left to right."""
    labels = zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
    found = [(axes.transData.transform((x, 0))[0], label.get_text(), x) for label, x in labels]
    return {name: x for _, name, x in sorted(found)}


def rows(axes):
    """Labels at the y axis with their coordinates, from top to bottom."""
    labels = zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)
    found = [(axes.transData.transform((0, y))[1], label.get_text(), y) for label, y in labels]
    return {name: y for _, name, y in sorted(found, reverse=True)}


def lines(axes):
    """The lines that have a name in the legend, by it."""
    return {line.get_label(): line for line in axes.lines if line.get_label()[:1] != "_"}


def legend(figure):
    """The texts of a figure's legend."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def texts(axes):
    """The texts in a picture."""
    return [text.get_text() for text in axes.texts]


def artists(axes):
    """The artists that have an id in an SVG file, by it."""
    found = {artist.get_gid(): artist for artist in axes.get_children() if artist.get_gid()}
    assert len(found) == sum(bool(artist.get_gid()) for artist in axes.get_children())
    return found
