"""Pictures of a run, drawn from its records: the learned architecture and the training curves."""

import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tailor_tf.files import replacing
from tailor_tf.graph import Architecture, Path
from tailor_tf.records import Report, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LAYER_INCHES = 0.62  # width of one layer in the picture; its coordinates are in layers
_REMOVED_PER_LAYER = 4  # removed proxies drawn, on average over the layers; the shortest
_BLUE, _ORANGE, _DARK, _PALE = "#1f5fa8", "#d1580b", "#3c4650", "#a6adb5"
_CENTERED = {"ha": "center", "va": "center"}
_REMOVED = {"color": _PALE, "linestyle": (0, (3, 2)), "linewidth": 0.7}
_REMOVED_BOX = {"facecolor": "white", "edgecolor": _PALE, "linestyle": "--"}


def _architecture(record: Mapping[str, Any]) -> Architecture:
    data = record["architecture"]
    return Architecture(data["num_blocks"], tuple(Path(*path) for path in data["paths"]))


@dataclasses.dataclass(frozen=True)
class _Picture:
    """What the picture shows, and the signed height of the arcs of each skip distance in layers."""

    before: Architecture
    gates: Mapping[Path, float]  # of the paths that survive
    restored: frozenset[Path]
    proxies: tuple[Path, ...]
    heights: Mapping[int, float]

    @classmethod
    def of(cls, report: Report) -> "_Picture":
        before, kept = _architecture(report.student), set(_architecture(report.tailored).paths)
        gates = {Path(*path): gate for *path, gate in report.tailored["gates"]}
        restored = report.pruned[report.chosen].get("restored", [])
        removed = sorted(set(before.proxies) - kept, key=lambda path: (_skip(path), path))
        shown = removed[: _REMOVED_PER_LAYER * before.num_blocks]
        shown += [path for path in before.proxies if path in kept]
        return cls(
            before,
            {path: gates[path] for path in kept},
            frozenset(Path(*path) for path in restored) & kept,
            tuple(shown),
            _arc_heights(set(map(_skip, shown))),
        )

    def gid(self, path: Path) -> str:
        """The identity of the path's artist in an SVG file."""
        return path.name if path in self.gates else f"{path.name}_removed"

    def label(self, path: Path) -> str:
        """The path's gate, with a star where it was kept against it."""
        return f"{self.gates[path]:.2f}" + ("*" if path in self.restored else "")


def _skip(path: Path) -> int:
    return path.target - path.source


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
        axes.text(x, 0, str(x), color=_PALE, fontsize=7, zorder=5, **_CENTERED)
        return
    gate = picture.gates[path]
    axes.plot(*wire, color=_DARK, linewidth=1.2, zorder=1)
    _box(axes, x, 0.62, 0.56, gid=gid, facecolor=_shade(gate), edgecolor=_BLUE)
    text = {"color": "white" if gate > 0.5 else _DARK, "zorder": 5, **_CENTERED}
    axes.text(x, 0.11, str(x), fontsize=7, weight="bold", **text)
    axes.text(x, -0.12, picture.label(path), fontsize=6.5, **text)


def _shade(gate: float) -> tuple[str, float]:
    return _BLUE, 0.12 + 0.88 * gate  # color and opacity


def _draw_proxy(axes: "Axes", picture: _Picture, path: Path) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    height = picture.heights[_skip(path)]
    left, right, bend = path.source + 0.54, path.target + 0.46, height / 0.75  # cubic's apex: 3/4
    foot = math.copysign(0.05, height)
    points = [(left, foot), (left, bend), (right, bend), (right, foot)]
    curve = Curve(points, [Curve.MOVETO] + 3 * [Curve.CURVE4])
    style = {"arrowstyle": "-", "zorder": 2} | _REMOVED
    if path in picture.gates:
        gate = picture.gates[path]
        style = {"color": _ORANGE, "linewidth": 0.8 + 2.4 * gate, "alpha": 0.4 + 0.6 * gate}
        style |= {"arrowstyle": "-|>", "mutation_scale": 5 + 4 * gate, "zorder": 3}
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"}
        text = {"fontsize": 6, "color": "#8f3900", "bbox": box | {"alpha": 0.9}, **_CENTERED}
        axes.text((left + right) / 2, height, picture.label(path), zorder=6, **text)
    axes.add_patch(FancyArrowPatch(path=curve, gid=picture.gid(path), shrinkA=0, **style))


def _draw_ends(axes: "Axes", picture: _Picture) -> None:
    """The stem, the classifier and the nodes `x_0..x_L`; hollow where nothing arrives."""
    last = picture.before.num_blocks
    for x, name, wire in ((0, "stem", [0, 0.5]), (last + 1, "classifier", [last + 0.5, last + 1])):
        axes.plot(wire, [0, 0], color=_DARK, linewidth=1.2, zorder=1)
        _box(axes, x, 0.36, 1.0, facecolor="white", edgecolor=_DARK, gid=name)
        axes.text(x, 0, name, fontsize=6.5, rotation=90, zorder=5, **_CENTERED)
    reached = {0} | {path.target for path in picture.gates}
    for node in range(last + 1):
        style = {"color": _DARK} if node in reached else {"color": _PALE, "fillstyle": "none"}
        axes.plot(node + 0.5, 0, "o", markersize=3, zorder=5, **style)


def _legend(figure: "Figure", picture: _Picture) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    hidden = len(set(picture.before.proxies) - set(picture.proxies))
    hidden_text = f" (the {hidden} longest are not drawn)" if hidden else ""
    handles = [
        Patch(facecolor=_shade(0.8), edgecolor=_BLUE, label="universal block; shade, number: gate"),
        Patch(label="removed universal block", **_REMOVED_BOX),
        Line2D([], [], color=_ORANGE, linewidth=1.8, label="proxy; width, number: gate"),
        Line2D([], [], label=f"removed proxy{hidden_text}", **_REMOVED),
    ]
    if picture.restored:
        star = {"marker": "$*$", "color": _DARK, "linestyle": "none"}
        handles += [Line2D([], [], label="kept against its gate: nothing else connects", **star)]
    columns = 2 if figure.get_figwidth() < 11 else len(handles)
    style = {"fontsize": 7, "frameon": False, "borderaxespad": 0}
    below = (0.5, 0.28 / figure.get_figheight())
    figure.legend(handles=handles, loc="center", bbox_to_anchor=below, ncols=columns, **style)


def _title(report: Report) -> str:
    run, kept = report.run, report.tailored["cost"]["universal_blocks"]
    return (
        f"{run['task']['name']} on {run['universal']['name']}: {kept} of "
        f"{run['universal']['num_blocks']} universal blocks kept, "
        f"{report.fewer('multiply_adds')} than the teacher"
    )


def _save(figure: "Figure", path: str | os.PathLike) -> None:
    import matplotlib

    with replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "tailor_tf"}):
        figure.savefig(temporary, format=pathlib.Path(path).suffix[1:], dpi=160)


def draw_architecture(report: Report, path: str | os.PathLike) -> None:
    """Draws the learned architecture, and what was removed as removed.

    Each path's artist carries its name as identity in an SVG file, `block5_proxy2`, with `_removed`
    behind it where the path is gone.

    Args:
        report: the run.
        path: the picture to write; its extension names the format, such as .png or .svg.
    """
    from matplotlib.figure import Figure

    picture = _Picture.of(report)
    layers = picture.before.num_blocks
    top = max([0.6, *picture.heights.values()]) + 0.25
    bottom = min([-0.6, *picture.heights.values()]) - 0.25
    width, height = layers + 2.0, top + 0.62 - bottom  # in layers
    size = (width * _LAYER_INCHES, height * _LAYER_INCHES + 0.95)  # title and legend: 0.95 inches
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((0, 0.55 / size[1], 1, height * _LAYER_INCHES / size[1]))
    axes.set(xlim=(-0.5, layers + 1.5), ylim=(bottom, top + 0.62))
    axes.axis("off")
    _draw_stages(axes, report.run["universal"]["node_shapes"], bottom, top)
    _draw_ends(axes, picture)
    for block in (p for p in picture.before.paths if p.universal):
        _draw_block(axes, picture, block)
    for proxy in picture.proxies:
        _draw_proxy(axes, picture, proxy)
    title = _title(report)
    fitting = 72 * size[0] / (0.65 * len(title))  # points; a letter is about 0.6 of them wide
    figure.text(0.5, 1 - 0.2 / size[1], title, fontsize=min(9, fitting), **_CENTERED)
    _legend(figure, picture)
    _save(figure, path)


def _phases(report: Report) -> Iterable[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, record and line style of each phase that has epochs; the chosen level stands out."""
    yield "teacher", report.teacher, {"color": _DARK}
    yield "student", report.student, {"color": _BLUE}
    for level, record in report.finetuned.items():
        chosen = level == report.chosen
        style = {} if chosen else {"linestyle": "--", "linewidth": 0.9, "alpha": 0.6}
        name = f"fine-tuned, {level}" + (" (chosen)" if chosen else "")
        yield name, record, {"color": _ORANGE} | style


def draw_history(report: Report, path: str | os.PathLike) -> None:
    """Draws training loss and validation accuracy in percent by epoch, a line for each phase."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), facecolor="white", layout="constrained")
    sides = {"loss": ("training loss", 1), "validation_accuracy": ("validation accuracy (%)", 100)}
    for axes, (key, (label, scale)) in zip(figure.subplots(1, 2), sides.items(), strict=True):
        for name, record, style in _phases(report):
            values = [scale * epoch.get(key, math.nan) for epoch in record.get("history", [])]
            axes.plot(range(1, len(values) + 1), values, marker=".", label=name, **style)
        axes.set(xlabel="epoch of the phase", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{report.run['task']['name']} on {report.run['universal']['name']}")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    _save(figure, path)


def draw_levels(report: Report, path: str | os.PathLike) -> None:
    """Draws validation accuracy in percent against multiply-adds, a point for each level tried.

    Bars are one standard error; lines mark the teacher's accuracy and what was asked for.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), facecolor="white", layout="constrained")
    axes = figure.subplots()
    images = report.run["task"]["images"]["validation"]
    points = {"teacher": report.teacher, "student": report.student}
    points |= {level.name: record for level, record in report.finetuned.items()}
    for name, record in points.items():
        accuracy, madds = record["accuracy"]["validation"], record["cost"]["multiply_adds"] / 1e6
        error = 100 * standard_error(accuracy, images)
        color = _ORANGE if name == report.chosen.name else _DARK if name == "teacher" else _BLUE
        axes.errorbar(madds, 100 * accuracy, error, fmt="o", color=color, capsize=3, linewidth=0.8)
        label = f"{name} (chosen)" if name == report.chosen.name else name
        place = {"textcoords": "offset points", "xytext": (7, 5), "fontsize": 8, "color": color}
        axes.annotate(label, (madds, 100 * accuracy), **place)
    teachers = 100 * report.teacher["accuracy"]["validation"]
    axes.axhline(teachers, color=_DARK, linewidth=0.8, label="teacher")
    if report.run["tolerance"] is not None:
        style = {"color": _ORANGE, "linewidth": 0.8, "linestyle": "--"}
        axes.axhline(teachers - report.run["tolerance"], label="within the tolerance", **style)
    if most := report.run.get("budget", {}).get("multiply_adds"):
        axes.axvline(most / 1e6, color=_PALE, linestyle="--", label="budget")
    axes.set(xlabel="multiply-adds (M)", ylabel="validation accuracy (%)")
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    _save(figure, path)


def draw_overview(reports: Sequence[Report], path: str | os.PathLike) -> None:
    """Draws what is left of the teacher's multiply-adds and parameters in percent, by task.

    Tasks stand in the order of their teachers' validation accuracy, easy ones first.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.4 + 0.45 * len(reports)), facecolor="white", layout="constrained")
    axes = figure.subplots()
    ordered = sorted(reports, key=lambda report: -report.teacher["accuracy"]["validation"])
    for offset, (count, color) in enumerate((("multiply_adds", _BLUE), ("parameters", _ORANGE))):
        left = [100 * (1 - report.gone(count)) for report in ordered]
        places = [place + 0.38 * offset for place in range(len(ordered))]
        bars = axes.barh(places, left, 0.36, color=color, label=count.replace("_", "-"))
        axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
    names = []
    for report in ordered:
        accuracy = 100 * report.teacher["accuracy"]["validation"]
        names.append(f"{report.run['task']['name']}, teacher {accuracy:.1f} %")
    axes.set_yticks([place + 0.19 for place in range(len(ordered))], names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="left of the teacher's (%)")
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    _save(figure, path)


_NAMED_CLASSES = 45  # more names than that cannot be read


def draw_confusion(report: Report, path: str | os.PathLike) -> None:
    """Draws which class is taken for which by teacher and tailored network, in percent of a class.

    Classes stand in the order of the logits, true classes from top to bottom. The names of classes
    are left out where there are too many to be read.
    """
    import numpy as np
    from matplotlib.figure import Figure

    names = report.classes if len(report.classes) <= _NAMED_CLASSES else []
    inches = min(max(3.2, 0.2 * len(report.classes)), 9)
    figure = Figure(
        figsize=(2 * inches + 1.6, inches + 1.2), facecolor="white", layout="constrained"
    )
    networks = {"teacher": report.teacher, "tailored": report.tailored}
    for axes, (name, record) in zip(figure.subplots(1, 2), networks.items(), strict=True):
        counts = report.confusion(record)
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        accuracy = 100 * counts.diagonal().sum() / counts.sum()
        axes.set(xlabel="predicted", ylabel="true class", title=f"{name}, {accuracy:.2f} %")
        ticks = range(len(names))
        axes.set_xticks(ticks, names, rotation=90, fontsize=6)
        axes.set_yticks(ticks, names, fontsize=6)
    figure.colorbar(image, ax=figure.axes, label="share of the true class (%)", shrink=0.8)
    figure.suptitle(f"{report.run['task']['name']}, {report.split} images")
    _save(figure, path)
