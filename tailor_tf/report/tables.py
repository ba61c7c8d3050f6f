"""Tables of runs, from their record files alone.

Accuracies are fractions in the records and percent here, differences of accuracies are percentage
points. M is a million, k a thousand.
"""

import math
import os
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tailor_tf.report.outcome import Outcome, methods


def significant(value: float) -> str:
    """A number with three significant digits, and all those before the decimal point."""
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(decimals, 0)}f}"


def amount(count: float) -> str:
    """A count with three significant digits, in millions or thousands where it is large."""
    unit, name = (1e6, " M") if count >= 1e5 else (1e3, " k") if count >= 1e3 else (1, "")
    return significant(count / unit) + name


def percent(record: Mapping[str, Any], split: str) -> str:
    """A record's accuracy on a split in percent; a dash where it has none."""
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


def kept(outcome: Outcome, record: Mapping[str, Any]) -> str:
    """How many universal blocks a network has, of how many."""
    return f"{record['cost']['universal_blocks']} of {outcome.run['universal']['num_blocks']}"


_LATENCY = "predicted latency (ms)"


def _latency(outcome: Outcome, record: Mapping[str, Any]) -> list[str]:
    """A cell, where latencies are known."""
    if outcome.teacher["cost"]["latency_ms"] is None:
        return []
    return [significant(record["cost"]["latency_ms"])]


def _row(outcome: Outcome, name: str, record: Mapping[str, Any]) -> list[str]:
    accuracies = [percent(record, split) for split in ("validation", "test")]
    last = [kept(outcome, record), str(record["cost"]["proxies"]), f"{record['seconds']:,.0f}"]
    return [name, *accuracies, *amounts(record["cost"]), *_latency(outcome, record), *last]


def _points(outcome: Outcome, split: str) -> str | None:
    ours, teachers = (r["accuracy"].get(split) for r in (outcome.network, outcome.teacher))
    if ours is None or teachers is None:
        return None
    return f"{round(100 * (ours - teachers), 2) + 0.0:+.2f} points on {split}"  # no "-0.00"


def headline(run: Mapping[str, Any]) -> str:
    """A line on task and universal network."""
    task, network = run["task"], run["universal"]
    images = ", ".join(f"{count:,} {split}" for split, count in task["images"].items())
    return (
        f"Task {task['name']} ({task['num_classes']} classes; images: {images}) on the universal "
        f"network {network['name']} ({network['num_blocks']} blocks, "
        f"{amount(network['parameters'])} parameters, "
        f"{amount(network['multiply_adds'])} multiply-adds)."
    )


def verdict(outcome: Outcome) -> str:
    """How the last network stands to its teacher and to what was asked for."""
    if not outcome.chosen:
        missing = "fine-tuning" if outcome.student else "training the student"
        return f"The run is not finished: {missing} has not come to its end. This is what there is."
    distance = ", ".join(filter(None, (_points(outcome, s) for s in ("validation", "test"))))
    text = (
        f"The tailored network against its teacher: {distance}; "
        f"{outcome.fewer('multiply_adds')}, {outcome.fewer('parameters')}; {_target(outcome)}."
    )
    if latency := outcome.selection["latency"]:
        machine = latency["measured_on"]
        text += (
            f" One image takes {significant(latency['measured_ms'])} ms, predicted were "
            f"{significant(latency['predicted_ms'])} ms ({machine['runtime']}, "
            f"{machine['precision']}, threads: {machine['threads']}; {machine['processor']})."
        )
    if len(outcome.finetuned) > 1:
        times = f"{outcome.search_times:.1f}"
        text += f" The levels tried took {times} times the epochs of fine-tuning one."
    return text


def _target(outcome: Outcome) -> str:
    """How the network stands to what was asked for, and how well the validation images say so."""
    run = outcome.run
    if run["tolerance"] is None:
        return "the most accurate one tried within the budget"
    accuracy, teachers = (r["accuracy"]["validation"] for r in (outcome.network, outcome.teacher))
    missing = 100 * (teachers - accuracy) - run["tolerance"]
    met = (
        "within" if outcome.selection["within_tolerance"] else f"by {missing:.2f} points NOT within"
    )
    text = f"{met} the tolerance of {run['tolerance']:g} points on validation"
    error = 100 * outcome.standard_error
    images = run["task"]["images"]["validation"]
    coarse = ", more than the tolerance" if error > run["tolerance"] else ""
    return f"{text} (standard error on its {images:,} images: {error:.2f} points{coarse})"


def _amount_names(outcome: Outcome) -> list[str]:
    latency = [] if outcome.teacher["cost"]["latency_ms"] is None else [_LATENCY]
    return ["parameters (M)", "task parameters (M)", "multiply-adds (M)", *latency]


def level_rows(outcome: Outcome) -> list[list[str]]:
    """The levels tried, one a row, under their header."""
    header = ["level", "validation (%)", *_amount_names(outcome)]
    rows = [[*header, "universal blocks kept", "proxies", ""]]
    for level, record in outcome.finetuned.items():
        better = outcome.dominating(level)
        remarks = ["chosen"] if level == outcome.chosen else []
        if record.get("stopped"):
            remarks.append(f"given up after {len(record['history'])} epochs")
        elif better:
            remarks.append(f"dominated by {better.name}")
        cost = record["cost"]
        rows.append(
            [
                level.name,
                percent(record, "validation"),
                *amounts(cost),
                *_latency(outcome, record),
                kept(outcome, record),
                str(cost["proxies"]),
                ", ".join(remarks),
            ]
        )
    return rows


def phase_rows(outcome: Outcome) -> list[list[str]]:
    """The networks of a run, one a row, under their header."""
    header = ["", "validation (%)", "test (%)", *_amount_names(outcome)]
    header += ["universal blocks kept", "proxies", "seconds"]
    return [header, *(_row(outcome, name, record) for name, record in outcome.phases.items())]


def table(outcome: Outcome) -> str:
    """The run as a Markdown table that also reads well in a terminal.

    Returns:
        A line on task and universal network; a row each for the teacher, the student, and the
        chosen level pruned and fine-tuned, as far as the run has come; a line on the distance to
        the teacher; where several levels were tried, a row for each. Parameters and multiply-adds
        are in millions (M), accuracies in percent.
    """
    lines = [headline(outcome.run), "", *aligned(phase_rows(outcome)), "", verdict(outcome)]
    if len(outcome.finetuned) > 1:
        lines += ["", "Levels tried, by the number of universal blocks to remove:", ""]
        lines += aligned(level_rows(outcome))
    return "\n".join(lines) + "\n"


_CONFUSIONS_SHOWN = 10


def classes(outcome: Outcome) -> str:
    """Accuracy class by class, Markdown.

    Returns:
        A row per class with its images and the accuracies of teacher and last network in
        percent, a row for their means over classes, and the most frequent confusions.
    """
    images, *hits = outcome.by_class()
    present = images > 0
    rows = [["class", "images", "teacher (%)", f"{outcome.network_name} (%)"]]
    for label in np.flatnonzero(present):
        accuracies = [f"{accuracy[label]:.1f}" for accuracy in hits]
        rows.append([outcome.classes[label], f"{images[label]:,}", *accuracies])
    means = [f"{accuracy[present].mean():.1f}" for accuracy in hits]
    rows.append(["mean over classes", f"{images.sum():,}", *means])
    lines = [f"Accuracy by class on {outcome.split} images.", "", *aligned(rows)]
    return "\n".join(lines + _frequent_confusions(outcome)) + "\n"


def _frequent_confusions(outcome: Outcome) -> list[str]:
    wrong = outcome.confused()
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: -wrong[*pair])
    if not pairs:
        return []
    names = outcome.classes
    lines = [
        f"- {names[true]} taken for {names[predicted]}: {wrong[true, predicted]}"
        for true, predicted in pairs[:_CONFUSIONS_SHOWN]
    ]
    return ["", f"Most frequent confusions of the {outcome.network_name} network:", "", *lines]


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


def comparison_rows(workdirs: Iterable[str | os.PathLike]) -> list[list[str]]:
    """The rows of `comparison`, the header first."""
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
    return "\n".join(aligned(comparison_rows(workdirs), words=2)) + "\n"
