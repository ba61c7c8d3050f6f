"""The picture of a learned architecture, as a Matplotlib figure."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.report.outcome import Outcome
from tailor_tf.support.drawing import BLUE, DARK, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LAYER_INCHES = 0.62  # width of one layer in the picture; its coordinates are in layers
_MARGIN_INCHES = 0.95  # height of title and legend
_LEGEND_INCHES = 0.55  # of that, below the picture
_STAGE_LABEL = 0.62  # height in layers of the band that names the resolutions
_REMOVED_PER_LAYER = 4  # removed proxies that are drawn, on average over the layers
_CENTERED = {"ha": "center", "va": "center"}
_REMOVED = {"color": PALE, "linestyle": (0, (3, 2)), "linewidth": 0.7}
_REMOVED_BOX = {"facecolor": "white", "edgecolor": PALE, "linestyle": "--"}


def identity(path: Path, *, removed: bool) -> str:
    """The id of a path in the SVG picture: `block5_proxy2`, `block5_proxy2_removed`."""
    return f"{path.name}_removed" if removed else path.name


@dataclasses.dataclass(frozen=True)
class _Picture:
    """Content of the picture.

    Attributes:
        before: the student's architecture before pruning.
        gates: of the paths that are left.
        restored: paths that pruning kept against their gates.
        proxies: those that are drawn; the longest removed ones are not.
        heights: height of the arcs of each skip distance, in layers; negative below the blocks.
    """

    before: Architecture
    gates: Mapping[Path, float]
    restored: frozenset[Path]
    proxies: tuple[Path, ...]
    heights: Mapping[int, float]

    @classmethod
    def of(cls, outcome: Outcome) -> "_Picture":
        before, kept = outcome.student.architecture, set(outcome.network.architecture.paths)
        restored = outcome.pruned[outcome.chosen].restored if outcome.chosen else ()
        removed = sorted(set(before.proxies) - kept, key=lambda path: (path.skip, path))
        shown = removed[: _REMOVED_PER_LAYER * before.depth]
        shown += [path for path in before.proxies if path in kept]
        return cls(
            before,
            {path: outcome.network.gates[path] for path in kept},
            frozenset(restored) & kept,
            tuple(shown),
            _arc_heights({path.skip for path in shown}),
        )

    def identity(self, path: Path) -> str:
        return identity(path, removed=path not in self.gates)

    def label(self, path: Path) -> str:
        """The path's gate, with a star where pruning kept the path against it."""
        return f"{self.gates[path]:.2f}" + ("*" if path in self.restored else "")

    @property
    def bottom(self) -> float:
        """Lower end, in layers from the row of blocks."""
        return min([-0.6, *self.heights.values()]) - 0.25

    @property
    def top(self) -> float:
        """Upper end without the names of the resolutions, likewise."""
        return max([0.6, *self.heights.values()]) + 0.25


def _arc_heights(skips: Iterable[int]) -> dict[int, float]:
    """Short arcs near the row of blocks, long ones far out, above and below it by turns."""
    skips = sorted(skips)
    step = min(0.6, 8.0 / max(len(skips), 1))
    signs = itertools.cycle((1, -1))
    return {s: next(signs) * (0.68 + step * (rank // 2)) for rank, s in enumerate(skips)}


def architecture_figure(outcome: Outcome) -> "Figure":
    """The learned architecture; removed paths are dashed.

    Each path has its `identity` as id in an SVG file.

    Args:
        outcome: the run; its student is trained.
    """
    picture = _Picture.of(outcome)
    figure, axes = _empty(picture)
    _draw_stages(axes, picture, outcome.run.universal.node_shapes[: picture.before.depth + 1])
    _draw_ends(axes, picture)
    for block in (path for path in picture.before.paths if path.universal):
        _draw_block(axes, picture, block)
    for path in (path for path in picture.before.paths if path.identity):
        _draw_identity(axes, picture, path)
    for proxy in picture.proxies:
        _draw_proxy(axes, picture, proxy)
    _draw_title(figure, _title(outcome))
    _draw_legend(figure, picture)
    return figure


def _empty(picture: _Picture) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    layers = picture.before.depth
    top = picture.top + _STAGE_LABEL
    width, height = (layers + 2.0) * _LAYER_INCHES, (top - picture.bottom) * _LAYER_INCHES
    figure = Figure(figsize=(width, height + _MARGIN_INCHES), facecolor="white")
    whole = figure.get_figheight()
    axes = figure.add_axes((0, _LEGEND_INCHES / whole, 1, height / whole))
    axes.set(xlim=(-0.5, layers + 1.5), ylim=(picture.bottom, top))
    axes.axis("off")
    return figure, axes


def _draw_stages(axes: "Axes", picture: _Picture, shapes: Sequence[tuple[int, int, int]]) -> None:
    """Draws a band behind the layers of each resolution, from the shapes of `x_0..x_L`."""
    for index, (shape, group) in enumerate(itertools.groupby(enumerate(shapes), lambda n: n[1])):
        nodes = [node for node, _ in group]
        left, right = nodes[0] - 0.5, nodes[-1] + 0.5
        color = ("#f1f4f8", "#e6ebf1")[index % 2]
        ends = picture.bottom, picture.top + _STAGE_LABEL
        axes.fill_between([left, right], *ends, color=color, linewidth=0, zorder=0)
        height, width, channels = shape
        text = f"{height}x{width}\n{channels} channels"
        axes.text((left + right) / 2, picture.top + 0.3, text, fontsize=6.5, **_CENTERED)


def _draw_ends(axes: "Axes", picture: _Picture) -> None:
    """Draws stem, classifier and the nodes `x_0..x_L`; nodes that no path reaches are hollow."""
    last = picture.before.depth
    for x, name, wire in ((0, "stem", [0, 0.5]), (last + 1, "classifier", [last + 0.5, last + 1])):
        axes.plot(wire, [0, 0], color=DARK, linewidth=1.2, zorder=1)
        _draw_box(axes, x, 0.36, 1.0, facecolor="white", edgecolor=DARK, gid=name)
        axes.text(x, 0, name, fontsize=6.5, rotation=90, zorder=5, **_CENTERED)
    reached = {0} | {path.target for path in picture.gates}
    for node in range(last + 1):
        style = {"color": DARK} if node in reached else {"color": PALE, "fillstyle": "none"}
        axes.plot(node + 0.5, 0, "o", markersize=3, zorder=5, **style)


def _draw_box(axes: "Axes", x: float, width: float, height: float, **style: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2, -height / 2)
    shape = "round,pad=0,rounding_size=0.07"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, zorder=4, **style))


def _draw_block(axes: "Axes", picture: _Picture, path: Path) -> None:
    x = path.target
    wire = ([x - 0.5, x - 0.31, math.nan, x + 0.31, x + 0.5], [0] * 5)
    if path in picture.gates:
        axes.plot(*wire, color=DARK, linewidth=1.2, zorder=1)
        _draw_kept_block(axes, picture, path)
    else:
        axes.plot(*wire, zorder=1, **_REMOVED)
        _draw_box(axes, x, 0.62, 0.56, gid=picture.identity(path), **_REMOVED_BOX)
        axes.text(x, 0, str(x), color=PALE, fontsize=7, zorder=5, **_CENTERED)


def _draw_identity(axes: "Axes", picture: _Picture, path: Path) -> None:
    """Draws a node that is passed on: through a removed block, or in a bow above a kept one."""
    x, kept = path.target, path in picture.gates
    style = {"color": DARK, "linewidth": 1.2} if kept else dict(_REMOVED)
    block_kept = Path.block(path.target) in picture.gates
    if block_kept or not kept:
        line = ([x - 0.44, x - 0.4, x + 0.4, x + 0.44], [0.05, 0.38, 0.38, 0.05])
        style["linewidth"] = 0.7
    else:
        line = ([x - 0.5, x + 0.5], [-0.18, -0.18])
        axes.plot([x - 0.5, x - 0.5], [0, -0.18], [x + 0.5, x + 0.5], [0, -0.18], **style)
    axes.plot(*line, gid=picture.identity(path), zorder=5, **style)


def _draw_kept_block(axes: "Axes", picture: _Picture, path: Path) -> None:
    x, gate = path.target, picture.gates[path]
    style = {"facecolor": _shade(gate), "edgecolor": BLUE}
    _draw_box(axes, x, 0.62, 0.56, gid=picture.identity(path), **style)
    text = {"color": "white" if gate > 0.5 else DARK, "zorder": 5, **_CENTERED}
    axes.text(x, 0.11, str(x), fontsize=7, weight="bold", **text)
    axes.text(x, -0.12, picture.label(path), fontsize=6.5, **text)


def _shade(gate: float) -> tuple[str, float]:
    """Color and opacity of a block with that gate."""
    return BLUE, 0.12 + 0.88 * gate


def _draw_proxy(axes: "Axes", picture: _Picture, path: Path) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    height = picture.heights[path.skip]
    left, right, bend = path.source + 0.54, path.target + 0.46, height / 0.75  # cubic's apex: 3/4
    foot = math.copysign(0.05, height)
    points = [(left, foot), (left, bend), (right, bend), (right, foot)]
    curve = Curve(points, [Curve.MOVETO] + 3 * [Curve.CURVE4])
    style = {"arrowstyle": "-", "zorder": 2} | _REMOVED
    if path in picture.gates:
        style = _kept_proxy(picture.gates[path])
        _draw_proxy_label(axes, (left + right) / 2, height, picture.label(path))
    gid = picture.identity(path)
    axes.add_patch(FancyArrowPatch(path=curve, gid=gid, shrinkA=0, **style))


def _kept_proxy(gate: float) -> dict[str, Any]:
    """Style of the arrow of a proxy with that gate."""
    style = {"color": ORANGE, "linewidth": 0.8 + 2.4 * gate, "alpha": 0.4 + 0.6 * gate}
    return style | {"arrowstyle": "-|>", "mutation_scale": 5 + 4 * gate, "zorder": 3}


def _draw_proxy_label(axes: "Axes", x: float, y: float, label: str) -> None:
    box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
    axes.text(x, y, label, fontsize=6, color="#8f3900", bbox=box, zorder=6, **_CENTERED)


def _title(outcome: Outcome) -> str:
    kept, blocks = outcome.network.cost.universal_blocks, outcome.run.universal.num_blocks
    return (
        f"{outcome.title}: {kept} of {blocks} universal blocks kept, "
        f"{outcome.fewer('multiply_adds')} than the whole network"
    )


def _draw_title(figure: "Figure", title: str) -> None:
    width, height = figure.get_size_inches()
    fitting = 72 * width / (0.65 * len(title))  # points; a letter is about 0.6 of them wide
    figure.text(0.5, 1 - 0.2 / height, title, fontsize=min(9, fitting), **_CENTERED)


def _draw_legend(figure: "Figure", picture: _Picture) -> None:
    handles = _legend_handles(picture)
    columns = 2 if figure.get_figwidth() < 11 else len(handles)
    style = {"fontsize": 7, "frameon": False, "borderaxespad": 0}
    below = (0.5, 0.28 / figure.get_figheight())
    figure.legend(handles=handles, loc="center", bbox_to_anchor=below, ncols=columns, **style)


def _identity_handle(picture: _Picture) -> "list[Artist]":
    from matplotlib.lines import Line2D

    if not any(path.identity for path in picture.before.paths):
        return []
    return [Line2D([], [], color=DARK, linewidth=1.2, label="identity: the node before, unchanged")]


def _legend_handles(picture: _Picture) -> "list[Artist]":
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    hidden = len(set(picture.before.proxies) - set(picture.proxies))
    hidden_text = f" (the {hidden} longest are not drawn)" if hidden else ""
    handles = [
        Patch(facecolor=_shade(0.8), edgecolor=BLUE, label="universal block; shade, number: gate"),
        Patch(label="removed universal block", **_REMOVED_BOX),
        Line2D([], [], color=ORANGE, linewidth=1.8, label="proxy; width, number: gate"),
        *_identity_handle(picture),
        Line2D([], [], label=f"removed proxy{hidden_text}", **_REMOVED),
    ]
    if picture.restored:
        star = {"marker": "$*$", "color": DARK, "linestyle": "none"}
        handles += [Line2D([], [], label="kept against its gate: nothing else connects", **star)]
    return handles
