"""A run's report from its record files alone: the table, and where its parts are written.

Accuracies are fractions in the records and percent here, differences of accuracies are percentage
points. Complexity is counted in multiply-adds; M is a million, k a thousand.
"""

import html
import math
import os
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tailor_tf import page
from tailor_tf.files import write_text
from tailor_tf.pictures import (
    draw_architecture,
    draw_confusion,
    draw_history,
    draw_levels,
    draw_overview,
)
from tailor_tf.records import Report, load, methods


def significant(value: float) -> str:
    """A number with three significant digits, and all those before the decimal point."""
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(decimals, 0)}f}"


def _amount(count: int) -> str:
    unit, name = (1e6, " M") if count >= 1e5 else (1e3, " k") if count >= 1e3 else (1, "")
    return significant(count / unit) + name


def _percent(record: Mapping[str, Any], split: str) -> str:
    accuracy = record["accuracy"].get(split)
    return "-" if accuracy is None else f"{100 * accuracy:.2f}"


def aligned(rows: list[list[str]], words: int = 1) -> list[str]:
    """Lines of a Markdown table, which also reads well as text.

    Args:
        rows: rows of cells, the header first.
        words: how many of the first columns hold words and not numbers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths[:words]]
    rule += ["-" * (width - 1) + ":" for width in widths[words:]]
    lines = [
        [*map(str.ljust, row[:words], widths), *map(str.rjust, row[words:], widths[words:])]
        for row in [rows[0], rule, *rows[1:]]
    ]
    return [f"| {' | '.join(line)} |" for line in lines]


_AMOUNTS = ("parameters", "task_parameters", "multiply_adds")


def amounts(cost: Mapping[str, float]) -> list[str]:
    """Parameters, task parameters and multiply-adds of a `costs.Cost`, in millions."""
    return [significant(cost[count] / 1e6) for count in _AMOUNTS]


def _kept(report: Report, record: Mapping[str, Any]) -> str:
    return f"{record['cost']['universal_blocks']} of {report.run['universal']['num_blocks']}"


def _row(report: Report, name: str, record: Mapping[str, Any]) -> list[str]:
    accuracies = [_percent(record, split) for split in ("validation", "test")]
    last = [_kept(report, record), str(record["cost"]["proxies"]), f"{record['seconds']:,.0f}"]
    return [name, *accuracies, *amounts(record["cost"]), *last]


def _points(report: Report, split: str) -> str | None:
    ours, teachers = (r["accuracy"].get(split) for r in (report.tailored, report.teacher))
    if ours is None or teachers is None:
        return None
    return f"{round(100 * (ours - teachers), 2) + 0.0:+.2f} points on {split}"  # no "-0.00"


def _headline(run: Mapping[str, Any]) -> str:
    task, network = run["task"], run["universal"]
    images = ", ".join(f"{count:,} {split}" for split, count in task["images"].items())
    return (
        f"Task {task['name']} ({task['num_classes']} classes; images: {images}) on the universal "
        f"network {network['name']} ({network['num_blocks']} blocks, "
        f"{_amount(network['parameters'])} parameters, "
        f"{_amount(network['multiply_adds'])} multiply-adds)."
    )


def _verdict(report: Report) -> str:
    distance = ", ".join(filter(None, (_points(report, s) for s in ("validation", "test"))))
    return (
        f"The tailored network against its teacher: {distance}; "
        f"{report.fewer('multiply_adds')}, {report.fewer('parameters')}; {_target(report)}."
    )


def _target(report: Report) -> str:
    """How the network stands to what was asked for, and how well the validation images say so."""
    run = report.run
    if run["tolerance"] is None:
        return "the most accurate one tried within the budget"
    accuracy, teachers = (r["accuracy"]["validation"] for r in (report.tailored, report.teacher))
    missing = 100 * (teachers - accuracy) - run["tolerance"]
    met = "within" if run["within_tolerance"] else f"by {missing:.2f} points NOT within"
    text = f"{met} the tolerance of {run['tolerance']:g} points on validation"
    error = 100 * report.standard_error
    images = run["task"]["images"]["validation"]
    coarse = ", more than the tolerance" if error > run["tolerance"] else ""
    return f"{text} (standard error on its {images:,} images: {error:.2f} points{coarse})"


def _level_rows(report: Report) -> list[list[str]]:
    """The levels tried, one a row, under their header."""
    header = ["level", "validation (%)", "parameters (M)", "task parameters (M)"]
    header += ["multiply-adds (M)", "universal blocks kept", "proxies", ""]
    rows = [header]
    for level, record in report.finetuned.items():
        better = report.dominating(level)
        remarks = ["chosen"] if level == report.chosen else []
        if record.get("stopped"):
            remarks.append(f"given up after {len(record['history'])} epochs")
        elif better:
            remarks.append(f"worse than {better.name} in both")
        cost = record["cost"]
        rows.append(
            [
                level.name,
                _percent(record, "validation"),
                *amounts(cost),
                _kept(report, record),
                str(cost["proxies"]),
                ", ".join(remarks),
            ]
        )
    return rows


def _phase_rows(report: Report) -> list[list[str]]:
    """The networks of a run, one a row, under their header."""
    header = ["", "validation (%)", "test (%)", "parameters (M)", "task parameters (M)"]
    header += ["multiply-adds (M)", "universal blocks kept", "proxies", "seconds"]
    phases = [("teacher", report.teacher), ("student", report.student)]
    phases += [("pruned", report.pruned[report.chosen]), ("fine-tuned", report.tailored)]
    return [header, *(_row(report, name, record) for name, record in phases)]


def table(report: Report) -> str:
    """The run as a Markdown table that also reads well in a terminal.

    Returns:
        A line on task and universal network; a row each for the teacher, the student, and the
        chosen level pruned and fine-tuned; a line on the distance to the teacher; where several
        levels were tried, a row for each. Parameters and multiply-adds are in millions (M),
        accuracies in percent.
    """
    lines = [_headline(report.run), "", *aligned(_phase_rows(report)), "", _verdict(report)]
    if len(report.finetuned) > 1:
        lines += ["", "Levels tried, by the number of universal blocks to remove:", ""]
        lines += aligned(_level_rows(report))
    return "\n".join(lines) + "\n"


_CONFUSIONS_SHOWN = 10


def _cards(report: Report) -> list[tuple[str, str, str]]:
    """The figures that matter most: name, value and the teacher's."""
    ours, teachers = report.tailored, report.teacher
    found = [
        (
            f"{split} accuracy",
            f"{_percent(ours, split)} %",
            f"teacher {_percent(teachers, split)} %",
        )
        for split in ("validation", "test")
        if split in ours["accuracy"]
    ]
    for count in ("multiply_adds", "parameters"):
        whole = f"{_amount(ours['cost'][count])} of {_amount(teachers['cost'][count])}"
        name = f"{count.replace('_', '-')} gone"
        found.append((name, f"{100 * report.gone(count):.1f} %", whole))
    found.append(("task parameters", _amount(ours["cost"]["task_parameters"]), ""))
    found.append(("universal blocks kept", _kept(report, ours), ""))
    return found


def write_page(report: Report, workdir: str | os.PathLike) -> None:
    """Writes the whole report as one HTML file, `<workdir>/report/index.html`."""
    workdir = pathlib.Path(workdir)
    task, network = report.run["task"]["name"], report.run["universal"]["name"]
    parts = [
        f"<h1>{html.escape(task)} on {html.escape(network)}</h1>",
        f'<p class="soft">{html.escape(_headline(report.run))}</p>',
        page.cards(_cards(report)),
        page.paragraph(_verdict(report)),
        page.section(
            "Architecture",
            page.architecture(report),
            page.paragraph("Point at a block or a proxy for its shape, multiply-adds and gate."),
        ),
        page.section("Phases", page.table(_phase_rows(report), chosen=4)),
        page.section(
            "Accuracy against complexity",
            page.picture(draw_levels, report, "Accuracy against multiply-adds"),
            page.table(_level_rows(report), chosen=1 + list(report.finetuned).index(report.chosen)),
        ),
        page.section("Training", page.picture(draw_history, report, "Training curves")),
        page.section(
            f"Classes, on {report.split} images",
            page.table(page.class_rows(report)),
            page.picture(draw_confusion, report, "Confusion of classes"),
        ),
    ]
    for summary in sorted(workdir.glob("exports/files/*/*/summary.md")):
        version = f"Exports, version {summary.parent.name}"
        parts.append(page.section(version, page.preformatted(summary)))
    parts.append(page.section("Flags", page.preformatted(workdir / "flags.txt")))
    environment = report.run.get("environment", {})
    rows = [["made with", "version"], *([name, value] for name, value in environment.items())]
    parts.append(page.section("Environment", page.table(rows)))
    page.write(workdir / "report" / "index.html", f"{task} on {network}", parts)


def classes(report: Report) -> str:
    """Accuracy class by class, Markdown.

    Returns:
        A row per class with its images and the accuracies of teacher and tailored network in
        percent, a row for their means over classes, and the most frequent confusions.
    """
    images, *hits = report.by_class()
    present = images > 0
    rows = [["class", "images", "teacher (%)", "tailored (%)"]]
    for label in np.flatnonzero(present):
        accuracies = [f"{accuracy[label]:.1f}" for accuracy in hits]
        rows.append([report.classes[label], f"{images[label]:,}", *accuracies])
    means = [f"{accuracy[present].mean():.1f}" for accuracy in hits]
    rows.append(["mean over classes", f"{images.sum():,}", *means])
    lines = [f"Accuracy by class on {report.split} images.", "", *aligned(rows)]
    return "\n".join(lines + _frequent_confusions(report)) + "\n"


def _frequent_confusions(report: Report) -> list[str]:
    wrong = report.confused()
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: -wrong[*pair])
    if not pairs:
        return []
    lines = [
        f"- {report.classes[true]} taken for {report.classes[predicted]}: {wrong[true, predicted]}"
        for true, predicted in pairs[:_CONFUSIONS_SHOWN]
    ]
    return ["", "Most frequent confusions of the tailored network:", "", *lines]


def _spread(values: Sequence[float | None]) -> str:
    """One percentage, or the mean of several with their range; a dash where one is missing."""
    if None in values:
        return "-"
    shown = f"{100 * statistics.fmean(values):.2f}"
    lowest, highest = (f"{100 * end(values):.2f}" for end in (min, max))
    return f"{shown} ({lowest} to {highest})" if values[1:] else shown


def _mean(records: Sequence[Mapping[str, Any]], count: str) -> float:
    return statistics.fmean(record["cost"][count] for record in records)


def _method_row(method: str, records: Sequence[Mapping[str, Any]], whole: Sequence) -> list[str]:
    """The runs of one method on one task; `whole` are those of full fine-tuning."""
    accuracies = [
        _spread([record["accuracy"].get(split) for record in records])
        for split in ("validation", "test")
    ]
    means = amounts({count: _mean(records, count) for count in _AMOUNTS})
    gone = [
        f"{100 * (1 - _mean(records, count) / _mean(whole, count)):.1f}" if whole else "-"
        for count in ("parameters", "multiply_adds")
    ]
    kept = f"{_mean(records, 'universal_blocks'):.3g}"
    seconds = f"{statistics.fmean(record['seconds'] for record in records):,.0f}"
    return [method, str(len(records)), *accuracies, *means, *gone, kept, seconds]


def _comparison_rows(workdirs: Iterable[str | os.PathLike]) -> list[list[str]]:
    runs: dict[tuple, dict[str, list]] = {}
    for workdir in dict.fromkeys(pathlib.Path(workdir).resolve() for workdir in workdirs):
        for method, record in methods(workdir).items():
            settings = record["settings"]
            same = (settings["task"], settings["universal"], tuple(settings["classes"]))
            runs.setdefault(same, {}).setdefault(method, []).append(record)
    header = ["task", "method", "runs", "validation (%)", "test (%)", "parameters (M)"]
    header += ["task parameters (M)", "multiply-adds (M)", "parameters gone (%)"]
    header += ["multiply-adds gone (%)", "universal blocks run", "seconds"]
    rows = [
        [task, *_method_row(method, records, of_task.get("finetune", ()))]
        for (task, *_), of_task in runs.items()
        for method, records in of_task.items()
    ]
    return [header, *rows]


def comparison(workdirs: Iterable[str | os.PathLike]) -> str:
    """Methods side by side as one Markdown table, a row per task and method.

    Args:
        workdirs: working directories; those of one task over one universal network, such as under
            several seeds, share rows.

    Returns:
        Per row the number of runs, mean and range of the accuracies in percent, and means of what
        the network has, in millions, and of what is gone against full fine-tuning, in percent.

    Raises:
        TailorError: a working directory without a finished network.
    """
    return "\n".join(aligned(_comparison_rows(workdirs), words=2)) + "\n"


def write_overview(workdirs: Sequence[str | os.PathLike], path: str | os.PathLike) -> None:
    """Writes the comparison of several runs as one HTML file, tasks from easy to hard.

    Raises:
        TailorError: a working directory without a finished network.
    """
    tailored = [workdir for workdir in workdirs if "nettailor" in methods(workdir)]
    title = f"{len(tailored)} tailored networks"
    parts = [f"<h1>{title}</h1>"]
    if tailored:
        reports = [load(workdir) for workdir in tailored]
        drawn = page.picture(draw_overview, reports, "What is left of the teachers")
        parts.append(page.section("What is left of the teachers, easy tasks first", drawn))
    parts.append(
        page.section("Methods side by side", page.table(_comparison_rows(workdirs), words=2))
    )
    page.write(path, title, parts)


def write(workdir: str | os.PathLike) -> str:
    """Writes tables (table.md, classes.md), pictures and a page (index.html) in `<workdir>/report`.

    Returns:
        The table.
    """
    report, folder = load(workdir), pathlib.Path(workdir) / "report"
    text = table(report)
    write_text(folder / "table.md", text)
    write_text(folder / "classes.md", classes(report))
    draw_confusion(report, folder / "confusion.png")
    draw_architecture(report, folder / "architecture.png")
    draw_architecture(report, folder / "architecture.svg")
    draw_history(report, folder / "history.png")
    draw_levels(report, folder / "levels.png")
    write_page(report, workdir)
    return text
