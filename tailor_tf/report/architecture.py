"""The picture of a learned architecture, drawn from a run's records."""

import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.report.outcome import Outcome
from tailor_tf.support.drawing import BLUE, DARK, ORANGE, PALE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LAYER_INCHES = 0.62  # width of one layer in the picture; its coordinates are in layers
_REMOVED_PER_LAYER = 4  # removed proxies drawn, on average over the layers; the shortest
_CENTERED = {"ha": "center", "va": "center"}
_REMOVED = {"color": PALE, "linestyle": (0, (3, 2)), "linewidth": 0.7}
_REMOVED_BOX = {"facecolor": "white", "edgecolor": PALE, "linestyle": "--"}


def _architecture(record: Mapping[str, Any]) -> Architecture:
    data = record["architecture"]
    return Architecture.from_dict(data)


@dataclasses.dataclass(frozen=True)
class _Picture:
    """What the picture shows, and the signed height of the arcs of each skip distance in layers."""

    before: Architecture
    gates: Mapping[Path, float]  # of the paths that survive
    restored: frozenset[Path]
    proxies: tuple[Path, ...]
    heights: Mapping[int, float]

    @classmethod
    def of(cls, outcome: Outcome) -> "_Picture":
        before, kept = _architecture(outcome.student), set(_architecture(outcome.network).paths)
        gates = {Path.from_list(path): gate for *path, gate in outcome.network["gates"]}
        restored = outcome.pruned[outcome.chosen].get("restored", []) if outcome.chosen else []
        removed = sorted(set(before.proxies) - kept, key=lambda path: (path.skip, path))
        shown = removed[: _REMOVED_PER_LAYER * before.num_blocks]
        shown += [path for path in before.proxies if path in kept]
        return cls(
            before,
            {path: gates[path] for path in kept},
            frozenset(Path.from_list(path) for path in restored) & kept,
            tuple(shown),
            _arc_heights({path.skip for path in shown}),
        )

    def gid(self, path: Path) -> str:
        """The identity of the path's artist in an SVG file."""
        return path.name if path in self.gates else f"{path.name}_removed"

    def label(self, path: Path) -> str:
        """The path's gate, with a star where it was kept against it."""
        return f"{self.gates[path]:.2f}" + ("*" if path in self.restored else "")


def _arc_heights(skips: Iterable[int]) -> dict[int, float]:
    """Short arcs near the row of blocks, long ones far out, above and below it by turns."""
    skips = sorted(skips)
    step = min(0.6, 8.0 / max(len(skips), 1))
    signs = itertools.cycle((1, -1))
    return {s: next(signs) * (0.68 + step * (rank // 2)) for rank, s in enumerate(skips)}


def _draw_stages(axes: "Axes", shapes: list[list[int]], bottom: float, top: float) -> None:
    """A band behind the layers of each resolution; `shapes` are those of `x_0..x_L`."""
    for index, (shape, group) in enumerate(itertools.groupby(enumerate(shapes), lambda n: n[1])):
        nodes = [node for node, _ in group]
        left, right = nodes[0] - 0.5, nodes[-1] + 0.5
        color = ("#f1f4f8", "#e6ebf1")[index % 2]
        axes.fill_between([left, right], bottom, top + 0.62, color=color, linewidth=0, zorder=0)
        height, width, channels = shape
        text = f"{height}x{width}\n{channels} channels"
        axes.text((left + right) / 2, top + 0.3, text, fontsize=6.5, **_CENTERED)


def _box(axes: "Axes", x: float, width: float, height: float, **style: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2, -height / 2)
    shape = "round,pad=0,rounding_size=0.07"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, zorder=4, **style))


def _draw_block(axes: "Axes", picture: _Picture, path: Path) -> None:
    x, gid = path.target, picture.gid(path)
    wire = ([x - 0.5, x - 0.31, math.nan, x + 0.31, x + 0.5], [0] * 5)
    if path not in picture.gates:
        axes.plot(*wire, zorder=1, **_REMOVED)
        _box(axes, x, 0.62, 0.56, gid=gid, **_REMOVED_BOX)
        axes.text(x, 0, str(x), color=PALE, fontsize=7, zorder=5, **_CENTERED)
        return
    gate = picture.gates[path]
    axes.plot(*wire, color=DARK, linewidth=1.2, zorder=1)
    _box(axes, x, 0.62, 0.56, gid=gid, facecolor=_shade(gate), edgecolor=BLUE)
    text = {"color": "white" if gate > 0.5 else DARK, "zorder": 5, **_CENTERED}
    axes.text(x, 0.11, str(x), fontsize=7, weight="bold", **text)
    axes.text(x, -0.12, picture.label(path), fontsize=6.5, **text)


def _shade(gate: float) -> tuple[str, float]:
    return BLUE, 0.12 + 0.88 * gate  # color and opacity


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
        gate = picture.gates[path]
        style = {"color": ORANGE, "linewidth": 0.8 + 2.4 * gate, "alpha": 0.4 + 0.6 * gate}
        style |= {"arrowstyle": "-|>", "mutation_scale": 5 + 4 * gate, "zorder": 3}
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"}
        text = {"fontsize": 6, "color": "#8f3900", "bbox": box | {"alpha": 0.9}, **_CENTERED}
        axes.text((left + right) / 2, height, picture.label(path), zorder=6, **text)
    axes.add_patch(FancyArrowPatch(path=curve, gid=picture.gid(path), shrinkA=0, **style))


def _draw_ends(axes: "Axes", picture: _Picture) -> None:
    """The stem, the classifier and the nodes `x_0..x_L`; hollow where nothing arrives."""
    last = picture.before.num_blocks
    for x, name, wire in ((0, "stem", [0, 0.5]), (last + 1, "classifier", [last + 0.5, last + 1])):
        axes.plot(wire, [0, 0], color=DARK, linewidth=1.2, zorder=1)
        _box(axes, x, 0.36, 1.0, facecolor="white", edgecolor=DARK, gid=name)
        axes.text(x, 0, name, fontsize=6.5, rotation=90, zorder=5, **_CENTERED)
    reached = {0} | {path.target for path in picture.gates}
    for node in range(last + 1):
        style = {"color": DARK} if node in reached else {"color": PALE, "fillstyle": "none"}
        axes.plot(node + 0.5, 0, "o", markersize=3, zorder=5, **style)


def _legend(figure: "Figure", picture: _Picture) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    hidden = len(set(picture.before.proxies) - set(picture.proxies))
    hidden_text = f" (the {hidden} longest are not drawn)" if hidden else ""
    handles = [
        Patch(facecolor=_shade(0.8), edgecolor=BLUE, label="universal block; shade, number: gate"),
        Patch(label="removed universal block", **_REMOVED_BOX),
        Line2D([], [], color=ORANGE, linewidth=1.8, label="proxy; width, number: gate"),
        Line2D([], [], label=f"removed proxy{hidden_text}", **_REMOVED),
    ]
    if picture.restored:
        star = {"marker": "$*$", "color": DARK, "linestyle": "none"}
        handles += [Line2D([], [], label="kept against its gate: nothing else connects", **star)]
    columns = 2 if figure.get_figwidth() < 11 else len(handles)
    style = {"fontsize": 7, "frameon": False, "borderaxespad": 0}
    below = (0.5, 0.28 / figure.get_figheight())
    figure.legend(handles=handles, loc="center", bbox_to_anchor=below, ncols=columns, **style)


def _title(outcome: Outcome) -> str:
    run, kept = outcome.run, outcome.network["cost"]["universal_blocks"]
    return (
        f"{run['task']['name']} on {run['universal']['name']}: {kept} of "
        f"{run['universal']['num_blocks']} universal blocks kept, "
        f"{outcome.fewer('multiply_adds')} than the teacher"
    )


def draw_architecture(outcome: Outcome, path: str | os.PathLike) -> None:
    """Draws the learned architecture, and what was removed as removed.

    Each path's artist carries its name as identity in an SVG file, `block5_proxy2`, with `_removed`
    behind it where the path is gone.

    Args:
        outcome: the run; its student is trained.
        path: the picture to write; its extension names the format, such as .png or .svg.
    """
    from matplotlib.figure import Figure

    picture = _Picture.of(outcome)
    layers = picture.before.num_blocks
    top = max([0.6, *picture.heights.values()]) + 0.25
    bottom = min([-0.6, *picture.heights.values()]) - 0.25
    width, height = layers + 2.0, top + 0.62 - bottom  # in layers
    size = (width * _LAYER_INCHES, height * _LAYER_INCHES + 0.95)  # title and legend: 0.95 inches
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((0, 0.55 / size[1], 1, height * _LAYER_INCHES / size[1]))
    axes.set(xlim=(-0.5, layers + 1.5), ylim=(bottom, top + 0.62))
    axes.axis("off")
    _draw_stages(axes, outcome.run["universal"]["node_shapes"], bottom, top)
    _draw_ends(axes, picture)
    for block in (p for p in picture.before.paths if p.universal):
        _draw_block(axes, picture, block)
    for proxy in picture.proxies:
        _draw_proxy(axes, picture, proxy)
    title = _title(outcome)
    fitting = 72 * size[0] / (0.65 * len(title))  # points; a letter is about 0.6 of them wide
    figure.text(0.5, 1 - 0.2 / size[1], title, fontsize=min(9, fitting), **_CENTERED)
    _legend(figure, picture)
    save(figure, path)
