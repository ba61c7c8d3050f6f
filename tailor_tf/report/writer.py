"""The report of a run, from its records alone: tables, pictures and a page with all of it."""

import html
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tailor_tf.network.architecture import Path
from tailor_tf.records.records import Records
from tailor_tf.report import charts, page, tables
from tailor_tf.report.architecture import draw_architecture
from tailor_tf.report.outcome import Outcome, load, methods
from tailor_tf.support.files import write_text

FORMATS = ("svg", "png")


def write(workdir: str | os.PathLike) -> str:
    """Writes the report of a run, as far as it has come, to `<workdir>/report`.

    These are tables (`table.md`, `classes.md`), every picture as SVG and PNG, and `index.html`,
    which holds all of them and needs no other file.

    Returns:
        The table.

    Raises:
        TailorError: not even the teacher is trained, or a record is missing or of another layout.
    """
    outcome, folder = load(workdir, finished=False), pathlib.Path(workdir) / "report"
    text = tables.table(outcome)
    write_text(folder / "table.md", text)
    write_text(folder / "classes.md", tables.classes(outcome))
    pictures = _pictures(outcome)
    for name, draw in pictures.items():
        for form in FORMATS:
            draw(outcome, folder / f"{name}.{form}")
    drawn = {name: folder / f"{name}.svg" for name in pictures}
    _write_page(outcome, drawn, pathlib.Path(workdir))
    return text


def _pictures(outcome: Outcome) -> dict[str, Callable[[Outcome, pathlib.Path], None]]:
    """What can be drawn of a run, by file name."""
    found = {
        "history": charts.draw_history,
        "levels": charts.draw_levels,
        "confusion": charts.draw_confusion,
    }
    if outcome.student:
        found |= {"architecture": draw_architecture, "gates": charts.draw_gates}
    return found


def _write_page(outcome: Outcome, drawn: Mapping[str, pathlib.Path], workdir: pathlib.Path) -> None:
    task, network = outcome.run["task"]["name"], outcome.run["universal"]["name"]
    phases, levels = tables.phase_rows(outcome), tables.level_rows(outcome)
    chosen = outcome.chosen and 1 + list(outcome.finetuned).index(outcome.chosen)
    parts = [
        f"<h1>{html.escape(task)} on {html.escape(network)}</h1>",
        f'<p class="soft">{html.escape(tables.headline(outcome.run))}</p>',
        page.cards(_cards(outcome)),
        page.paragraph(tables.verdict(outcome)),
    ]
    if "architecture" in drawn:
        hint = "Point at a block or a proxy for its shape, complexity and gate."
        picture = _architecture(outcome, drawn["architecture"])
        parts.append(page.section("Architecture", picture, page.paragraph(hint)))
    parts += [
        page.section("Phases", page.table(phases, chosen=4 if chosen else None)),
        page.section(
            "Accuracy against complexity",
            page.picture(drawn["levels"], "Accuracy against complexity"),
            page.table(levels, chosen=chosen) if levels[1:] else "",
        ),
        page.section("Training", page.picture(drawn["history"], "Training curves")),
    ]
    if "gates" in drawn:
        parts.append(page.section("Gates over time", page.picture(drawn["gates"], "Gates")))
    parts.append(
        page.section(
            f"Classes, on {outcome.split} images",
            page.table(_class_rows(outcome)),
            page.picture(drawn["confusion"], "Confusion of classes"),
            *_examples(outcome, Records(workdir).read("examples")),
        )
    )
    for summary in sorted(workdir.glob("exports/files/*/*/summary.md")):
        version = f"Exports, version {summary.parent.name}"
        parts.append(page.section(version, page.preformatted(summary)))
    parts.append(page.section("Flags", page.preformatted(workdir / "flags.txt")))
    rows = [["made with", "version"], *map(list, outcome.run["environment"].items())]
    parts.append(page.section("Environment", page.table(rows)))
    page.write(workdir / "report" / "index.html", f"{task} on {network}", parts)


def _cards(outcome: Outcome) -> list[tuple[str, str, str]]:
    """The figures that matter most: name, value and the teacher's."""
    ours, teachers = outcome.network, outcome.teacher
    found = [
        (
            f"{split} accuracy",
            f"{tables.percent(ours, split)} %",
            f"teacher {tables.percent(teachers, split)} %",
        )
        for split in ("validation", "test")
        if split in ours["accuracy"]
    ]
    for count in ("multiply_adds", "parameters"):
        amounts = [tables.amount(record["cost"][count]) for record in (ours, teachers)]
        name = f"{count.replace('_', '-')} gone"
        found.append((name, f"{100 * outcome.gone(count):.1f} %", " of ".join(amounts)))
    if outcome.selection and (latency := outcome.selection["latency"]):
        words = f"predicted {tables.significant(latency['predicted_ms'])} ms"
        found.append(("latency", f"{tables.significant(latency['measured_ms'])} ms", words))
    found.append(("task parameters", tables.amount(ours["cost"]["task_parameters"]), ""))
    found.append(("universal blocks kept", tables.kept(outcome, ours), ""))
    return found


def _architecture(outcome: Outcome, drawn: pathlib.Path) -> str:
    """The learned architecture; what the pointer rests on says what it is."""
    text = page.picture(drawn, "Architecture")
    gates = {Path.from_list(path): gate for *path, gate in outcome.network["gates"]}
    complexities = {
        Path.from_list(path): amount for *path, amount in outcome.run["path_complexities"]
    }
    for path, complexity in complexities.items():
        height, width, channels = outcome.run["universal"]["node_shapes"][path.target]
        words = [path.name, f"{height}x{width}x{channels}", _complexity(outcome, complexity)]
        words.append(f"gate {gates[path]:.3f}" if path in gates else "removed")
        name = path.name if path in gates else f"{path.name}_removed"
        title = f"<title>{html.escape(', '.join(words))}</title>"
        text = text.replace(f'<g id="{name}">', f'<g id="{name}">{title}')
    return text


def _complexity(outcome: Outcome, amount: float) -> str:
    if outcome.complexity == "latency_ms":
        return f"{amount:.3f} ms"
    return f"{amount / 1e6:.3f} M {outcome.complexity.replace('_', '-')}"


def _class_rows(outcome: Outcome) -> list[list[str]]:
    """A row per class, the least accurate of the network first."""
    images, *hits = outcome.by_class()
    wrong = outcome.confused()
    header = ["class", "images", "teacher (%)", f"{outcome.network_name} (%)"]
    rows = [[*header, "most often taken for"]]
    for label in np.argsort(hits[1], kind="stable"):
        name = outcome.classes[label]
        if not images[label]:
            rows.append([name, "0", "-", "-", ""])
            continue
        other = int(wrong[label].argmax())
        taken = f"{outcome.classes[other]} ({wrong[label, other]})" if wrong[label].any() else ""
        rows.append([name, f"{images[label]:,}", *(f"{hit[label]:.1f}" for hit in hits), taken])
    return rows


def _examples(outcome: Outcome, record: Mapping | None) -> list[str]:
    """Images of the most frequent confusions, and one of each class."""
    if not record:
        return []
    names = outcome.classes
    mistaken = [
        (image, f"{names[true]}, taken for {names[other]}")
        for true, other, image in record["confusions"]
    ]
    known = dict(record["classes"])
    missing = [names[label] for label in range(len(names)) if label not in known]
    shown = [(image, names[label]) for label, image in known.items()]
    parts = [page.subtitle("Confused"), page.gallery(mistaken)] if mistaken else []
    parts += [page.subtitle("One image of each class"), page.gallery(shown)]
    if missing:
        parts.append(page.paragraph(f"Not shown: {', '.join(missing)}."))
    return parts


def write_overview(workdirs: Sequence[str | os.PathLike], path: str | os.PathLike) -> None:
    """Writes the comparison of several runs as one HTML file, tasks from easy to hard.

    Its picture is written beside it, under the same name, as SVG and PNG.

    Raises:
        TailorError: a working directory without a finished network.
    """
    path = pathlib.Path(path)
    outcomes = [load(workdir) for workdir in workdirs if "nettailor" in methods(workdir)]
    title = f"{len(outcomes)} tailored networks"
    parts = [f"<h1>{title}</h1>"]
    if outcomes:
        for form in FORMATS:
            charts.draw_overview(outcomes, path.with_suffix(f".{form}"))
        label = "What is left of the teachers"
        drawn = page.picture(path.with_suffix(".svg"), label)
        parts.append(page.section(f"{label}, easy tasks first", drawn))
    rows = page.table(tables.comparison_rows(workdirs), words=2)
    page.write(path, title, [*parts, page.section("Methods side by side", rows)])
