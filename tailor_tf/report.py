"""A run's report from its record files alone: the table, and where its parts are written.

Accuracies are fractions in the records and percent here, differences of accuracies are percentage
points. Complexity is counted in multiply-adds; M is a million, k a thousand.
"""

import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from tailor_tf.files import write_text
from tailor_tf.pictures import draw_architecture, draw_history
from tailor_tf.records import Report, load


def _significant(value: float) -> str:
    """Three significant digits, and all those before the decimal point."""
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(decimals, 0)}f}"


def _amount(count: int) -> str:
    unit, name = (1e6, " M") if count >= 1e5 else (1e3, " k") if count >= 1e3 else (1, "")
    return _significant(count / unit) + name


def _percent(record: Mapping[str, Any], split: str) -> str:
    accuracy = record["accuracy"].get(split)
    return "-" if accuracy is None else f"{100 * accuracy:.2f}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        for row in [rows[0], rule, *rows[1:]]
    ]
    return [f"| {' | '.join(line)} |" for line in lines]


def _amounts(record: Mapping[str, Any]) -> list[str]:
    """Parameters, task parameters and multiply-adds, in millions."""
    counts = ("parameters", "task_parameters", "multiply_adds")
    return [_significant(record["cost"][count] / 1e6) for count in counts]


def _kept(report: Report, record: Mapping[str, Any]) -> str:
    return f"{record['cost']['universal_blocks']} of {report.run['universal']['num_blocks']}"


def _row(report: Report, name: str, record: Mapping[str, Any]) -> list[str]:
    accuracies = [_percent(record, split) for split in ("validation", "test")]
    last = [_kept(report, record), str(record["cost"]["proxies"]), f"{record['seconds']:,.0f}"]
    return [name, *accuracies, *_amounts(record), *last]


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
    run = report.run
    distance = ", ".join(filter(None, (_points(report, s) for s in ("validation", "test"))))
    met = "within" if run["within_tolerance"] else "NOT within"
    return (
        f"The tailored network against its teacher: {distance}; "
        f"{report.fewer('multiply_adds')}, {report.fewer('parameters')}; "
        f"{met} the tolerance of {run['tolerance']:g} points on validation."
    )


def _other_level(report: Report, level: int) -> str:
    record = report.finetuned[level]
    plural = "" if level == 1 else "s"
    return (
        f"- Also tried, {level} universal block{plural} to remove "
        f"({_kept(report, record)} kept): validation "
        f"{_percent(record, 'validation')} %, "
        f"{_amount(record['cost']['multiply_adds'])} multiply-adds."
    )


def table(report: Report) -> str:
    """The run as a Markdown table that also reads well in a terminal.

    Returns:
        A line on task and universal network; a row each for the teacher, the student, and the
        chosen level pruned and fine-tuned; a line on the distance to the teacher; a line for each
        other level. Parameters and multiply-adds are in millions (M), accuracies in percent.
    """
    run = report.run
    header = ["", "validation (%)", "test (%)", "parameters (M)", "task parameters (M)"]
    header += ["multiply-adds (M)", "universal blocks kept", "proxies", "seconds"]
    phases = [("teacher", report.teacher), ("student", report.student)]
    phases += [("pruned", report.pruned[run["chosen"]]), ("fine-tuned", report.tailored)]
    rows = [header, *(_row(report, name, record) for name, record in phases)]
    others = [_other_level(report, level) for level in run["levels"] if level != run["chosen"]]
    lines = [_headline(run), "", *_aligned(rows), "", _verdict(report)]
    return "\n".join(lines + ([""] if others else []) + others) + "\n"


def _run_row(report: Report) -> list[str]:
    teacher, ours = report.teacher, report.tailored
    records = (teacher, report.student, *report.pruned.values(), *report.finetuned.values())
    seconds = sum(record["seconds"] for record in records)
    gone = [f"{100 * report.gone(count):.1f}" for count in ("parameters", "multiply_adds")]
    accuracies = [_percent(r, s) for s in ("validation", "test") for r in (teacher, ours)]
    name = report.run["task"]["name"]
    return [name, *accuracies, *_amounts(ours), *gone, _kept(report, ours), f"{seconds:,.0f}"]


def comparison(workdirs: Iterable[str | os.PathLike]) -> str:
    """Finished runs as one Markdown table, a row each.

    Returns:
        Accuracy of teacher and tailored network on validation and test images in percent, what the
        tailored network has in millions, what is gone against the teacher in percent.
    """
    header = ["task", "teacher, validation (%)", "tailored, validation (%)"]
    header += ["teacher, test (%)", "tailored, test (%)", "parameters (M)", "task parameters (M)"]
    header += ["multiply-adds (M)", "parameters gone (%)", "multiply-adds gone (%)"]
    header += ["universal blocks kept", "seconds"]
    rows = [header, *(_run_row(load(workdir)) for workdir in workdirs)]
    return "\n".join(_aligned(rows)) + "\n"


def write(workdir: str | os.PathLike) -> str:
    """Writes table.md, architecture.png, architecture.svg and history.png in `<workdir>/report`.

    Returns:
        The table.
    """
    report, folder = load(workdir), pathlib.Path(workdir) / "report"
    text = table(report)
    write_text(folder / "table.md", text)
    draw_architecture(report, folder / "architecture.png")
    draw_architecture(report, folder / "architecture.svg")
    draw_history(report, folder / "history.png")
    return text
