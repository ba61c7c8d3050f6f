"""Files of reports: tables, pictures, and a page with all of them."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tailor_tf.records.records import ExamplesRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import charts, page, tables
from tailor_tf.report.architecture import architecture_figure
from tailor_tf.report.outcome import Outcome, explaining, load, methods
from tailor_tf.support.drawing import save
from tailor_tf.support.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE, CLASSES, PAGE = "table.md", "classes.md", "index.html"
FORMATS = ("svg", "png")  # of every picture
_ANY_BYTES = {"encoding": "utf-8", "errors": "backslashreplace"}  # flags may name any file


def write(workdir: str | os.PathLike) -> str:
    """Writes the report of a run, as far as the run has come, to `<workdir>/report`.

    These are tables (`table.md`, `classes.md`), every picture as SVG and PNG, and `index.html`,
    which holds all of them and needs no other file.

    Args:
        workdir: the run's working directory.

    Returns:
        The table.

    Raises:
        TailorError: not even the teacher is trained, or a record is missing, damaged or of another
            layout.
    """
    workdir = Workdir(workdir)
    with explaining(workdir):
        return _write(workdir)


def _write(workdir: Workdir) -> str:
    outcome, folder = load(workdir, finished=False), workdir.report
    text = tables.table(outcome)
    write_text(folder / TABLE, text)
    write_text(folder / CLASSES, tables.classes(outcome))
    drawings = {name: _save(figure, folder / name) for name, figure in figures(outcome).items()}
    write_text(folder / PAGE, _page(workdir, outcome, drawings))
    return text


def figures(outcome: Outcome) -> "dict[str, Figure]":
    """The pictures of a run by the names of their files, as far as the run has come."""
    found = {
        "history": charts.history_figure(outcome),
        "levels": charts.levels_figure(outcome),
        "confusion": charts.confusion_figure(outcome),
    }
    if outcome.student:
        found["architecture"] = architecture_figure(outcome)
        found["gates"] = charts.gates_figure(outcome)
    return found


def _save(figure: "Figure", path: pathlib.Path) -> str:
    """Writes a picture in every format, `path` without its extension, and returns the SVG."""
    for form in FORMATS:
        save(figure, path.with_name(f"{path.name}.{form}"))
    return path.with_name(f"{path.name}.svg").read_text(encoding="utf-8")


def _page(workdir: Workdir, outcome: Outcome, drawings: Mapping[str, str]) -> str:
    flags = workdir.flags
    return page.run_page(
        outcome,
        drawings,
        examples=Records(workdir).read(ExamplesRecord),
        exports=[page.Export.read(summary) for summary in workdir.exports.summaries()],
        flags=flags.read_text(**_ANY_BYTES) if flags.exists() else None,
    )


def write_overview(workdirs: Sequence[str | os.PathLike], path: str | os.PathLike) -> None:
    """Writes the comparison of several runs as one HTML file, easy tasks first.

    Its picture is written beside it, under the same name, as SVG and PNG.

    Args:
        workdirs: the runs' working directories.
        path: the HTML file.

    Raises:
        TailorError: a working directory without a finished network.
    """
    path = pathlib.Path(path)
    found = list(map(Workdir, workdirs))
    with explaining(*workdirs):
        outcomes = [load(workdir) for workdir in found if "nettailor" in methods(workdir)]
        figure = charts.overview_figure(outcomes) if outcomes else None
    drawing = figure and _save(figure, path.with_suffix(""))
    rows = tables.comparison_rows(workdirs)
    write_text(path, page.overview_page(f"{len(outcomes)} tailored networks", drawing, rows))
