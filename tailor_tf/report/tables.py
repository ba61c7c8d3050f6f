"""Markdown tables of runs.

Accuracies are shares in the records and percent here; differences of accuracies are percentage
points. M is a million, k a thousand.
"""

import math
import os
import pathlib
import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from tailor_tf.network.cost import Cost
from tailor_tf.records.level import Level
from tailor_tf.records.records import LatencyRecord, PhaseRecord, RunRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report.outcome import Outcome, explaining, methods
from tailor_tf.support.text import aligned, amount, markdown, printable, significant

_SPLITS = ("validation", "test")
_AMOUNTS = ("parameters", "task_parameters", "multiply_adds")
_LATENCY = "predicted latency (ms)"
_CONFUSIONS_SHOWN = 10


def percent(record: PhaseRecord, split: str) -> str:
    """Accuracy of a network on a split in percent; a dash where there is none."""
    accuracy = record.accuracy.get(split)
    return "-" if accuracy is None else f"{100 * accuracy:.2f}"


def amounts(cost: Cost) -> list[str]:
    """Parameters, task parameters and multiply-adds of a network, in millions."""
    return [significant(cost[count] / 1e6) for count in _AMOUNTS]


def kept(outcome: Outcome, record: PhaseRecord) -> str:
    """Universal blocks of a network and of the universal network: "9 of 12"."""
    return f"{record.cost.universal_blocks} of {outcome.run.universal.num_blocks}"


def _latency_known(outcome: Outcome) -> bool:
    return outcome.teacher.cost.latency_ms is not None


def _cost_names(outcome: Outcome) -> list[str]:
    latency = [_LATENCY] if _latency_known(outcome) else []
    return ["parameters (M)", "task parameters (M)", "multiply-adds (M)", *latency]


def _cost_cells(outcome: Outcome, cost: Cost) -> list[str]:
    latency = [significant(cost.latency_ms)] if _latency_known(outcome) else []
    return [*amounts(cost), *latency]


def headline(run: RunRecord) -> str:
    """A sentence on the task and the universal network of a run."""
    task, network = run.task, run.universal
    images = ", ".join(f"{count:,} {split}" for split, count in task.images.items())
    return (
        f"Task {printable(task.name)} ({task.num_classes} classes; images: {images}) on the "
        f"universal network {printable(network.name)} ({network.num_blocks} blocks, "
        f"{amount(network.parameters)} parameters, "
        f"{amount(network.multiply_adds)} multiply-adds)."
    )


def verdict(outcome: Outcome) -> str:
    """Sentences that compare the tailored network with its teacher and with the goals.

    Of an unfinished run: a sentence on the phase that is missing.
    """
    if not outcome.chosen:
        missing = "fine-tuning" if outcome.student else "training the student"
        return (
            f"The run is not finished: {missing} has not come to its end. These are the results "
            "so far."
        )
    distance = ", ".join(filter(None, (_points(outcome, split) for split in _SPLITS)))
    text = (
        f"The tailored network against its teacher: {distance}; "
        f"{outcome.fewer('multiply_adds')} and {outcome.fewer('parameters')} than the whole "
        f"network; {_target(outcome)}."
    )
    expected = outcome.selection.expected_difference
    if expected is not None:
        text += f" On other images, {_signed(expected)} points are to be expected."
    if outcome.selection.latency:
        text += f" {_latency_sentence(outcome.selection.latency)}"
    if len(outcome.finetuned) > 1:
        times = f"{outcome.search_times:.1f}"
        text += f" The levels tried took {times} times the epochs of fine-tuning one."
    return text


def _points(outcome: Outcome, split: str) -> str | None:
    ours, teachers = (r.accuracy.get(split) for r in (outcome.network, outcome.teacher))
    if ours is None or teachers is None:
        return None
    return f"{_signed(ours - teachers)} points on {split}"


def _signed(difference: float) -> str:
    """A difference of accuracies in percentage points."""
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # no "-0.00"


def _target(outcome: Outcome) -> str:
    """Whether the tolerance is met, and how far validation images can tell."""
    tolerance = outcome.run.tolerance
    if tolerance is None:
        return "the most accurate one tried within the budget"
    teachers = outcome.teacher.accuracy["validation"]
    missing = 100 * (teachers - outcome.network.accuracy["validation"]) - tolerance
    within = outcome.selection.within_tolerance
    met = "within" if within else f"by {missing:.2f} points NOT within"
    error = 100 * outcome.difference_error(outcome.network)
    images = outcome.run.task.images["validation"]
    return (
        f"{met} the tolerance of {tolerance:g} points on validation (standard error of the "
        f"difference on its {images:,} images: {error:.2f} points{_undecided(outcome)})"
    )


def _undecided(outcome: Outcome) -> str:
    """How many images it would take to show what these cannot show."""
    needed = outcome.images_to_decide
    if needed is None:
        return ""
    number = "no number of them" if math.isinf(needed) else f"about {float(f'{needed:.2g}'):,.0f}"
    return (
        f", too few to show it with a confidence of {100 * outcome.run.confidence:g} %: it would "
        f"take {number}"
    )


def _latency_sentence(latency: LatencyRecord) -> str:
    machine = latency.measured_on
    return (
        f"One image takes {significant(latency.measured_ms)} ms, predicted were "
        f"{significant(latency.predicted_ms)} ms ({machine['runtime']}, "
        f"{machine['precision']}, threads: {machine['threads']}; {machine['processor']})."
    )


def phase_rows(outcome: Outcome) -> list[list[str]]:
    """The networks of a run, one a row, under their header."""
    header = ["", "validation (%)", "test (%)", *_cost_names(outcome)]
    header += ["universal blocks kept", "proxies", "seconds"]
    return [header, *(_phase_row(outcome, *phase) for phase in outcome.phases.items())]


def _phase_row(outcome: Outcome, name: str, record: PhaseRecord) -> list[str]:
    accuracies = [percent(record, split) for split in _SPLITS]
    blocks = [kept(outcome, record), str(record.cost.proxies)]
    costs = _cost_cells(outcome, record.cost)
    return [name, *accuracies, *costs, *blocks, f"{record.seconds:,.0f}"]


def level_rows(outcome: Outcome) -> list[list[str]]:
    """The levels, one a row, under their header.

    Levels that were trained together are all shown, with their accuracy before fine-tuning;
    otherwise those that were tried.
    """
    before = ["before fine-tuning (%)"] if outcome.judged else []
    header = ["level", *before, *(f"{split} (%)" for split in _SPLITS), *_cost_names(outcome)]
    header += ["universal blocks kept", "proxies", ""]
    tried = {**outcome.finetuned, **outcome.failed}
    rows = [
        [
            level.name,
            *([percent(outcome.judged[level], "validation")] if outcome.judged else []),
            *(percent(tried[level], split) if level in tried else "-" for split in _SPLITS),
            *_cost_cells(outcome, record.cost),
            kept(outcome, record),
            str(record.cost.proxies),
            ", ".join(_remarks(outcome, level)),
        ]
        for level, record in {**outcome.judged, **tried}.items()
    ]
    return [header, *rows]


def _remarks(outcome: Outcome, level: Level) -> Iterable[str]:
    if level not in outcome.finetuned and level not in outcome.failed:
        return
    if level in outcome.failed:
        yield f"failed: {outcome.failed[level].failed}"
        return
    record, better = outcome.finetuned[level], outcome.dominating(level)
    if level == outcome.chosen:
        yield "chosen"
    if record.stopped:
        yield f"given up after {len(record.history)} epochs"
    elif better:
        yield f"dominated by {better.name}"


def table(outcome: Outcome) -> str:
    """The run as a Markdown table that also reads well in a terminal.

    Returns:
        A line on task and universal network; a row each for the teacher, the student, and the
        chosen level pruned and fine-tuned, as far as the run has come; a line that compares the
        network with its teacher; where several levels were tried, a row for each. Parameters and
        multiply-adds are in millions (M), accuracies in percent.
    """
    first, last = markdown(headline(outcome.run)), markdown(verdict(outcome))
    lines = [first, "", *aligned(phase_rows(outcome)), "", last]
    if len(outcome.finetuned) + len(outcome.failed) > 1 or outcome.judged:
        lines += ["", "Levels, by the number of universal blocks to remove:", ""]
        lines += aligned(level_rows(outcome))
    return "\n".join(lines) + "\n"


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
    wrong, names = outcome.confused(), outcome.classes
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: -wrong[*pair])
    if not pairs:
        return []
    lines = [
        f"- {markdown(names[true])} taken for {markdown(names[predicted])}: "
        f"{wrong[true, predicted]}"
        for true, predicted in pairs[:_CONFUSIONS_SHOWN]
    ]
    return ["", f"Most frequent confusions of the {outcome.network_name} network:", "", *lines]


def comparison(workdirs: Iterable[str | os.PathLike]) -> str:
    """Methods side by side as one Markdown table, a row per task and method.

    Args:
        workdirs: the runs' working directories; runs of one task over one universal network, such
            as with several seeds, share a row per method.

    Returns:
        Per row the number of runs, mean and range of the accuracies in percent, means of the
        network's counts in millions, and reductions against the whole network in percent.

    Raises:
        TailorError: a working directory without a finished network.
    """
    return "\n".join(aligned(comparison_rows(workdirs), words=2)) + "\n"


def comparison_rows(workdirs: Iterable[str | os.PathLike]) -> list[list[str]]:
    """The rows of `comparison`, the header first."""
    header = ["task", "method", "runs", "validation (%)", "test (%)", "parameters (M)"]
    header += ["task parameters (M)", "multiply-adds (M)", "parameters gone (%)"]
    header += ["multiply-adds gone (%)", "universal blocks run", "seconds"]
    workdirs = list(workdirs)
    with explaining(*workdirs):
        rows = [
            [str(task), *_method_row(method, records, whole)]
            for (task, *_, whole), of_task in _by_task_and_method(workdirs).items()
            for method, records in of_task.items()
        ]
    return [header, *rows]


def _by_task_and_method(
    workdirs: Iterable[str | os.PathLike],
) -> dict[tuple, dict[str, list[PhaseRecord]]]:
    runs: dict[tuple, dict[str, list[PhaseRecord]]] = {}
    for path in dict.fromkeys(pathlib.Path(workdir).resolve() for workdir in workdirs):
        for method, record in methods(Workdir(path)).items():
            run = Records(Workdir(path)).read(RunRecord)
            whole = run and (run.universal.multiply_adds, run.universal.parameters)
            same = (record.task_name, record.fingerprint, record.classes, whole)
            runs.setdefault(same, {}).setdefault(method, []).append(record)
    return runs


def _method_row(
    method: str, records: Sequence[PhaseRecord], whole: tuple[int, int] | None
) -> list[str]:
    """Figures of one method on one task.

    Args:
        method: its name.
        records: its networks.
        whole: multiply-adds and parameters of the whole universal network; `None` if not recorded.
    """
    accuracies = [_spread([record.accuracy.get(split) for record in records]) for split in _SPLITS]
    means = [significant(_mean(records, count) / 1e6) for count in _AMOUNTS]
    gone = ["-", "-"]
    if whole:
        left = [_mean(records, count) for count in ("multiply_adds", "parameters")]
        shares = [1 - ours / theirs for ours, theirs in zip(left, whole, strict=True)]
        gone = [f"{100 * share:.1f}" for share in reversed(shares)]
    blocks = f"{_mean(records, 'universal_blocks'):.3g}"
    seconds = f"{statistics.fmean(record.seconds for record in records):,.0f}"
    return [method, str(len(records)), *accuracies, *means, *gone, blocks, seconds]


def _mean(records: Sequence[PhaseRecord], count: str) -> float:
    return statistics.fmean(record.cost[count] for record in records)


def _spread(shares: Sequence[float | None]) -> str:
    """One percentage, or the mean of several with their range; a dash where one is missing."""
    if None in shares:
        return "-"
    shown = f"{100 * statistics.fmean(shares):.2f}"
    lowest, highest = (f"{100 * end(shares):.2f}" for end in (min, max))
    return f"{shown} ({lowest} to {highest})" if shares[1:] else shown
