"""Charts of a run and of several runs, as Matplotlib figures."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tailor_tf.network.architecture import Path
from tailor_tf.network.cost import COUNTS
from tailor_tf.records.records import PhaseRecord
from tailor_tf.report.outcome import Outcome
from tailor_tf.support.drawing import BLUE, DARK, ORANGE, PALE
from tailor_tf.support.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_NAMED_CLASSES = 45  # more names of classes than that cannot be read
_BELOW_SHOWN = 8.0  # percentage points below the lowest network; levels below are not shown
_LONGEST_NAME = 40  # letters; longer names leave no room for the chart


def _figure(width: float, height: float) -> "Figure":
    """An empty figure; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def _plain(axes: "Axes") -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _legend_below(figure: "Figure", axes: "Axes", *, columns: int = 3) -> None:
    style = {"loc": "outside lower center", "ncols": columns, "fontsize": 8, "frameon": False}
    figure.legend(*axes.get_legend_handles_labels(), **style)


class _Line(NamedTuple):
    """A phase in the chart of epochs."""

    label: str
    record: PhaseRecord
    style: dict[str, Any]


def _lines(outcome: Outcome) -> Iterable[_Line]:
    """The phases that have epochs; the chosen level stands out among the levels."""
    yield _Line("teacher", outcome.teacher, {"color": DARK})
    if outcome.student:
        yield _Line("student", outcome.student, {"color": BLUE})
    if outcome.sandwich:
        yield _Line("all levels together", outcome.sandwich, {"color": BLUE, "linestyle": ":"})
    faint = {"linestyle": "--", "linewidth": 0.9, "alpha": 0.6}
    for level, record in outcome.finetuned.items():
        label, style = f"fine-tuned, level {level.name}", {"color": ORANGE}
        if level == outcome.chosen:
            yield _Line(f"{label} (chosen)", record, style)
        else:
            yield _Line(label, record, style | faint)


def history_figure(outcome: Outcome) -> "Figure":
    """Training loss, and validation accuracy in percent, by epoch; a line for each phase."""
    figure = _figure(9, 3.6)
    loss, accuracy = figure.subplots(1, 2)
    _draw_epochs(loss, outcome, "loss", label="training loss", scale=1)
    named = {"label": "validation accuracy (%)", "scale": 100}
    _draw_epochs(accuracy, outcome, "validation_accuracy", **named)
    figure.suptitle(shortened(outcome.title, 2 * _LONGEST_NAME))
    _legend_below(figure, accuracy)
    return figure


def _draw_epochs(axes: "Axes", outcome: Outcome, name: str, *, label: str, scale: float) -> None:
    """Draws a figure of the epochs, by its name in `EpochRecord.figures`, times `scale`."""
    from matplotlib.ticker import MaxNLocator

    for line in _lines(outcome):
        values = [scale * epoch.figures.get(name, math.nan) for epoch in line.record.history]
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, marker=".", label=line.label, **line.style)
    axes.set(xlabel="epoch of the phase", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes)


class _Point(NamedTuple):
    """A network in the chart of levels."""

    label: str
    record: PhaseRecord
    color: str


def _points(outcome: Outcome) -> Iterable[_Point]:
    yield _Point("teacher", outcome.teacher, DARK)
    if outcome.student:
        yield _Point("student", outcome.student, BLUE)
    for level, record in outcome.finetuned.items():
        if level == outcome.chosen:
            yield _Point(f"{level.name} (chosen)", record, ORANGE)
        else:
            yield _Point(level.name, record, BLUE)
    for depth, record in outcome.truncated.items():
        yield _Point(f"first {depth} blocks", record, PALE)


def levels_figure(outcome: Outcome) -> "Figure":
    """Validation accuracy in percent, a point for each level tried and each truncated network.

    Where all levels were trained together, small points show them before fine-tuning. On the left
    against complexity, on the right against the task's own parameters. Error bars are one standard
    error of the difference to the teacher; lines mark the teacher's accuracy and the goals.
    """
    figure = _figure(11, 4.2)
    against = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(against, (outcome.complexity, "task_parameters"), strict=True):
        count = COUNTS[name]
        for point in _points(outcome):
            _draw_point(axes, outcome, point, name)
        _draw_judged(axes, outcome, name)
        _draw_goals(axes, outcome, name)
        axes.set(xlabel=count.label)
        axes.set_xlim(left=0)
        axes.margins(x=0.12)
        _plain(axes)
    against[0].set(ylabel="validation accuracy (%)")
    if outcome.judged:  # those that are far below are out of the picture
        lowest = min(100 * point.record.accuracy["validation"] for point in _points(outcome))
        against[0].set_ylim(bottom=max(against[0].get_ylim()[0], lowest - _BELOW_SHOWN))
    _legend_below(figure, against[0])
    return figure


def _draw_point(axes: "Axes", outcome: Outcome, point: _Point, count: str) -> None:
    amount = point.record.cost[count] / COUNTS[count].unit
    accuracy = 100 * point.record.accuracy["validation"]
    error = 100 * outcome.difference_error(point.record)
    style = {"color": point.color, "capsize": 3, "linewidth": 0.8}
    axes.errorbar(amount, accuracy, error, fmt="o", **style)
    place = {"textcoords": "offset points", "xytext": (7, 5), "fontsize": 8}
    axes.annotate(point.label, (amount, accuracy), color=point.color, **place)


def _draw_judged(axes: "Axes", outcome: Outcome, count: str) -> None:
    """All levels as they were trained together, before any fine-tuning."""
    if outcome.judged:
        amounts = [record.cost[count] / COUNTS[count].unit for record in outcome.judged.values()]
        accuracies = [100 * record.accuracy["validation"] for record in outcome.judged.values()]
        width = 0.8 if count == outcome.complexity else 0.0  # of the line from level to level
        style = {"color": PALE, "marker": ".", "linewidth": width}
        axes.plot(amounts, accuracies, label="levels before fine-tuning", **style)


def _draw_goals(axes: "Axes", outcome: Outcome, count: str) -> None:
    """Lines at the teacher's accuracy, at the least accuracy tolerated, and at the budget."""
    teachers = 100 * outcome.teacher.accuracy["validation"]
    axes.axhline(teachers, color=DARK, linewidth=0.8, label="teacher")
    if outcome.run.tolerance is not None:
        style = {"color": ORANGE, "linewidth": 0.8, "linestyle": "--"}
        axes.axhline(teachers - outcome.run.tolerance, label="within the tolerance", **style)
    if count in outcome.run.budget:
        most = outcome.run.budget[count] / COUNTS[count].unit
        axes.axvline(most, color=PALE, linestyle="--", label="budget")


def gates_figure(outcome: Outcome) -> "Figure":
    """The gates of all universal blocks over the epochs of the student, a row for each layer.

    The gates of a layer add up to 1: the proxies have the rest. Blocks that pruning removed
    are marked.

    Args:
        outcome: the run; its student is trained.
    """
    blocks = [path for path in outcome.student.architecture.paths if path.universal]
    gates = _gates_of_blocks(outcome.student)
    row = min(max(0.1, 4 / len(blocks)), 0.2)  # inches
    figure = _figure(9, 1.6 + row * len(blocks))
    axes = figure.subplots()
    extent = (0.5, gates.shape[1] + 0.5, len(blocks) + 0.5, 0.5)  # epochs and rows count from 1
    image = axes.imshow(gates, "Blues", vmin=0, vmax=1, aspect="auto", extent=extent)
    labels = [_block_label(path, outcome.network) for path in blocks]
    axes.set_yticks(range(1, len(blocks) + 1), labels, fontsize=min(7, 60 * row))
    axes.set(xlabel="epoch of the student", ylabel="layer")
    figure.colorbar(image, ax=axes, label="gate of the universal block", pad=0.02)
    return figure


def _gates_of_blocks(student: PhaseRecord) -> np.ndarray:
    """Gates of the universal blocks, `[layer, epoch]`."""
    columns = [at for at, path in enumerate(student.architecture.paths) if path.universal]
    return np.array([epoch.gates for epoch in student.history])[:, columns].T


def _block_label(path: Path, network: PhaseRecord) -> str:
    kept = path in network.architecture.paths
    return f"{path.target}" if kept else f"removed  {path.target}"


def overview_figure(outcomes: Sequence[Outcome]) -> "Figure":
    """Multiply-adds and parameters in percent of the teacher's, by task.

    Tasks are in the order of their teachers' validation accuracy, easy ones on top.
    """
    figure = _figure(9, 1.4 + 0.45 * len(outcomes))
    axes = figure.subplots()
    ordered = sorted(outcomes, key=lambda outcome: -outcome.teacher.accuracy["validation"])
    for offset, (count, color) in enumerate((("multiply_adds", BLUE), ("parameters", ORANGE))):
        left = [100 * (1 - outcome.gone(count)) for outcome in ordered]
        places = [place + 0.38 * offset for place in range(len(ordered))]
        bars = axes.barh(places, left, 0.36, color=color, label=count.replace("_", "-"))
        axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
    places = [place + 0.19 for place in range(len(ordered))]
    axes.set_yticks(places, map(_overview_label, ordered), fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="left of the teacher's (%)")
    axes.spines[["top", "right"]].set_visible(False)
    _legend_below(figure, axes, columns=2)
    return figure


def _overview_label(outcome: Outcome) -> str:
    accuracy = 100 * outcome.teacher.accuracy["validation"]
    return f"{shortened(outcome.task, _LONGEST_NAME)}, teacher {accuracy:.1f} %"


def confusion_figure(outcome: Outcome) -> "Figure":
    """Confusion matrices of teacher and last network, in percent of the true class.

    True classes are rows, from top to bottom, and predicted classes columns, from left to right,
    both in the order of the logits. Names of classes are left out where there are too many to be
    read.
    """
    inches = min(max(3.2, 0.2 * len(outcome.classes)), 9)
    figure = _figure(2 * inches + 1.6, inches + 1.2)
    networks = {"teacher": outcome.teacher, outcome.network_name: outcome.network}
    found = figure.subplots(1, len(networks), squeeze=False)[0]
    for axes, (name, record) in zip(found, networks.items(), strict=True):
        image = _draw_confusion(axes, outcome.confusion(record), name)
        shown = outcome.classes if len(outcome.classes) <= _NAMED_CLASSES else ()
        names = [shortened(each, _LONGEST_NAME) for each in shown]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.set_yticks(range(len(names)), names, fontsize=6)
    figure.colorbar(image, ax=figure.axes, label="share of the true class (%)", shrink=0.8)
    figure.suptitle(f"{shortened(outcome.task, _LONGEST_NAME)}, {outcome.split} images")
    return figure


def _draw_confusion(axes: "Axes", counts: np.ndarray, name: str) -> "AxesImage":
    """Draws a matrix `[true class, predicted class]`; its mean accuracy is in the title."""
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    accuracy = 100 * counts.diagonal().sum() / counts.sum()
    axes.set(xlabel="predicted", ylabel="true class", title=f"{name}, {accuracy:.2f} %")
    return axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
