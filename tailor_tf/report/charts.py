"""Charts of a run and of several, drawn from their records."""

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

from tailor_tf.network.architecture import Path
from tailor_tf.records.records import standard_error
from tailor_tf.report.outcome import Outcome
from tailor_tf.support.drawing import BLUE, DARK, ORANGE, PALE, save

# What complexity counts, as it stands at an axis, and what it is divided by.
_COMPLEXITIES = {
    "multiply_adds": ("multiply-adds (M)", 1e6),
    "parameters": ("parameters (M)", 1e6),
    "latency_ms": ("predicted latency (ms)", 1.0),
}


def _phases(outcome: Outcome) -> Iterable[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, record and line style of each phase that has epochs; the chosen level stands out."""
    yield "teacher", outcome.teacher, {"color": DARK}
    if outcome.student:
        yield "student", outcome.student, {"color": BLUE}
    for level, record in outcome.finetuned.items():
        chosen = level == outcome.chosen
        style = {} if chosen else {"linestyle": "--", "linewidth": 0.9, "alpha": 0.6}
        name = f"fine-tuned, level {level.name}" + (" (chosen)" if chosen else "")
        yield name, record, {"color": ORANGE} | style


def draw_history(outcome: Outcome, path: str | os.PathLike) -> None:
    """Draws training loss and validation accuracy in percent by epoch, a line for each phase."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), facecolor="white", layout="constrained")
    sides = {"loss": ("training loss", 1), "validation_accuracy": ("validation accuracy (%)", 100)}
    for axes, (key, (label, scale)) in zip(figure.subplots(1, 2), sides.items(), strict=True):
        for name, record, style in _phases(outcome):
            values = [scale * epoch.get(key, math.nan) for epoch in record.get("history", [])]
            axes.plot(range(1, len(values) + 1), values, marker=".", label=name, **style)
        axes.set(xlabel="epoch of the phase", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{outcome.run['task']['name']} on {outcome.run['universal']['name']}")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    save(figure, path)


def draw_levels(outcome: Outcome, path: str | os.PathLike) -> None:
    """Draws validation accuracy in percent against complexity, a point for each level tried.

    Bars are one standard error; lines mark the teacher's accuracy and what was asked for.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), facecolor="white", layout="constrained")
    axes = figure.subplots()
    images = outcome.run["task"]["images"]["validation"]
    label, unit = _COMPLEXITIES[outcome.complexity]
    chosen = outcome.chosen.name if outcome.chosen else None
    points = {"teacher": outcome.teacher, "student": outcome.student}
    points |= {level.name: record for level, record in outcome.finetuned.items()}
    for name, record in points.items():
        if not record:
            continue
        accuracy, amount = (
            record["accuracy"]["validation"],
            record["cost"][outcome.complexity] / unit,
        )
        error = 100 * standard_error(accuracy, images)
        color = ORANGE if name == chosen else DARK if name == "teacher" else BLUE
        axes.errorbar(amount, 100 * accuracy, error, fmt="o", color=color, capsize=3, linewidth=0.8)
        place = {"textcoords": "offset points", "xytext": (7, 5), "fontsize": 8, "color": color}
        shown = f"{name} (chosen)" if name == chosen else name
        axes.annotate(shown, (amount, 100 * accuracy), **place)
    teachers = 100 * outcome.teacher["accuracy"]["validation"]
    axes.axhline(teachers, color=DARK, linewidth=0.8, label="teacher")
    if outcome.run["tolerance"] is not None:
        style = {"color": ORANGE, "linewidth": 0.8, "linestyle": "--"}
        axes.axhline(teachers - outcome.run["tolerance"], label="within the tolerance", **style)
    if most := outcome.run["budget"].get(outcome.complexity):
        axes.axvline(most / unit, color=PALE, linestyle="--", label="budget")
    axes.set(xlabel=label, ylabel="validation accuracy (%)")
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    save(figure, path)


def draw_gates(outcome: Outcome, path: str | os.PathLike) -> None:
    """Draws the gates of all universal blocks over the epochs of the student, a row for each layer.

    What a gate lacks to 1 is the attention that the layer pays to its proxies. Blocks that pruning
    removed are marked.
    """
    import numpy as np
    from matplotlib.figure import Figure

    paths = [Path.from_list(path) for path in outcome.student["architecture"]["paths"]]
    columns = [index for index, path in enumerate(paths) if path.universal]
    gates = np.array([epoch["gates"] for epoch in outcome.student["history"]])[:, columns].T
    layers = [paths[index].target for index in columns]
    kept = {Path.from_list(path) for path in outcome.network["architecture"]["paths"]}
    row = min(max(0.1, 4 / len(layers)), 0.2)  # inches
    figure = Figure(figsize=(9, 1.6 + row * len(layers)), facecolor="white", layout="constrained")
    axes = figure.subplots()
    extent = (0.5, gates.shape[1] + 0.5, len(layers) + 0.5, 0.5)
    image = axes.imshow(gates, "Blues", vmin=0, vmax=1, aspect="auto", extent=extent)
    labels = [
        f"{layer}" if paths[index] in kept else f"removed  {layer}"
        for index, layer in zip(columns, layers, strict=True)
    ]
    axes.set_yticks(range(1, len(layers) + 1), labels, fontsize=min(7, 60 * row))
    axes.set(xlabel="epoch of the student", ylabel="layer")
    figure.colorbar(image, ax=axes, label="gate of the universal block", pad=0.02)
    save(figure, path)


def draw_overview(outcomes: Sequence[Outcome], path: str | os.PathLike) -> None:
    """Draws what is left of the teacher's multiply-adds and parameters in percent, by task.

    Tasks stand in the order of their teachers' validation accuracy, easy ones first.
    """
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(9, 1.4 + 0.45 * len(outcomes)), facecolor="white", layout="constrained"
    )
    axes = figure.subplots()
    ordered = sorted(outcomes, key=lambda outcome: -outcome.teacher["accuracy"]["validation"])
    for offset, (count, color) in enumerate((("multiply_adds", BLUE), ("parameters", ORANGE))):
        left = [100 * (1 - outcome.gone(count)) for outcome in ordered]
        places = [place + 0.38 * offset for place in range(len(ordered))]
        bars = axes.barh(places, left, 0.36, color=color, label=count.replace("_", "-"))
        axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
    names = []
    for outcome in ordered:
        accuracy = 100 * outcome.teacher["accuracy"]["validation"]
        names.append(f"{outcome.run['task']['name']}, teacher {accuracy:.1f} %")
    axes.set_yticks([place + 0.19 for place in range(len(ordered))], names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="left of the teacher's (%)")
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    save(figure, path)


_NAMED_CLASSES = 45  # more names than that cannot be read


def draw_confusion(outcome: Outcome, path: str | os.PathLike) -> None:
    """Draws which class is taken for which by teacher and network, in percent of a class.

    Classes stand in the order of the logits, true classes from top to bottom. The names of classes
    are left out where there are too many to be read.
    """
    import numpy as np
    from matplotlib.figure import Figure

    names = outcome.classes if len(outcome.classes) <= _NAMED_CLASSES else []
    inches = min(max(3.2, 0.2 * len(outcome.classes)), 9)
    figure = Figure(
        figsize=(2 * inches + 1.6, inches + 1.2), facecolor="white", layout="constrained"
    )
    networks = {"teacher": outcome.teacher, outcome.network_name: outcome.network}
    found = figure.subplots(1, len(networks), squeeze=False)[0]
    for axes, (name, record) in zip(found, networks.items(), strict=True):
        counts = outcome.confusion(record)
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        accuracy = 100 * counts.diagonal().sum() / counts.sum()
        axes.set(xlabel="predicted", ylabel="true class", title=f"{name}, {accuracy:.2f} %")
        ticks = range(len(names))
        axes.set_xticks(ticks, names, rotation=90, fontsize=6)
        axes.set_yticks(ticks, names, fontsize=6)
    figure.colorbar(image, ax=figure.axes, label="share of the true class (%)", shrink=0.8)
    figure.suptitle(f"{outcome.run['task']['name']}, {outcome.split} images")
    save(figure, path)
