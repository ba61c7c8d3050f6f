"""HTML pages that need no other file: values for the templates in `templates/`."""

import base64
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup

from tailor_tf.network.architecture import Path
from tailor_tf.records.records import ExamplesRecord
from tailor_tf.report import svg, tables
from tailor_tf.report.architecture import identity
from tailor_tf.report.outcome import Outcome
from tailor_tf.support import files
from tailor_tf.support.errors import TailorError
from tailor_tf.support.text import amount, printable, significant

_PNG = b"\x89PNG\r\n\x1a\n"  # the first bytes of every PNG file


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        rows: rows of cells, plain text, the header first.
        words: number of columns, from the left, that hold words; the others hold numbers.
        chosen: first cell of the row that stands out.
    """

    rows: Sequence[Sequence[str]]
    words: int = 1
    chosen: str | None = None

    @property
    def header(self) -> Sequence[str]:
        """The cells of the header."""
        return self.rows[0]

    @property
    def body(self) -> Sequence[Sequence[str]]:
        """The rows under the header."""
        return self.rows[1:]


class Card(NamedTuple):
    """A figure in large type, and below it a figure to compare it with, which may be empty."""

    name: str
    value: str
    reference: str = ""


class Image(NamedTuple):
    """A small image: PNG in base64, and the text below it."""

    png: str
    caption: str


class Examples(NamedTuple):
    """Images of confusions, an image of each class, and names of the classes without one."""

    confused: list[Image]
    classes: list[Image]
    missing: list[str]


class Export(NamedTuple):
    """A version of a task's artifacts, and its summary as plain text."""

    version: str
    summary: str

    @classmethod
    def read(cls, summary: str | os.PathLike) -> "Export":
        """Reads the summary in the folder of a version."""
        path = pathlib.Path(summary)
        content = files.read_bytes(path).decode(errors="backslashreplace")
        return cls(path.parent.name, content)


def run_page(
    outcome: Outcome,
    drawings: Mapping[str, str],
    *,
    examples: ExamplesRecord | None,
    exports: Sequence[Export],
    flags: str | None,
) -> str:
    """The page of a run.

    Args:
        outcome: the run.
        drawings: SVG files by name: "levels", "history", "confusion" and, if the student is
            trained, "architecture" and "gates".
        examples: images to show, where there are some.
        exports: the versions of its artifacts.
        flags: the flags of the run's program; `None` if it was started otherwise.
    """
    chosen = outcome.chosen
    return _render(
        "run.html",
        title=outcome.title,
        headline=tables.headline(outcome.run),
        figures=list(_cards(outcome)),
        verdict=tables.verdict(outcome),
        drawings=drawings,
        path_titles=path_titles(outcome),
        phases=Table(tables.phase_rows(outcome), chosen="fine-tuned" if chosen else None),
        levels=Table(tables.level_rows(outcome), chosen=chosen.name if chosen else None),
        split=outcome.split,
        classes=Table(_class_rows(outcome)),
        examples=_examples(outcome.classes, examples) if examples else None,
        exports=exports,
        flags=flags,
        environment=Table([("made with", "version"), *outcome.run.environment.items()]),
    )


def overview_page(title: str, drawing: str | None, methods: Sequence[Sequence[str]]) -> str:
    """The page of several runs.

    Args:
        title: its heading.
        drawing: the SVG file with the tailored networks; `None` if there is none.
        methods: the rows of `tables.comparison_rows`.
    """
    return _render("overview.html", title=title, drawing=drawing, methods=Table(methods, words=2))


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("tailor_tf.report"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["inline_svg"] = svg.inline
    return templates


def _shown(value: Any) -> Any:
    """A value as a page has it: no control characters, which HTML does not allow."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, keep="\n")
    return value


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)


def _cards(outcome: Outcome) -> Iterator[Card]:
    """The most important figures, with the teacher's or the predicted ones."""
    network = outcome.network
    for split in ("validation", "test"):
        if split in network.accuracy:
            yield _accuracy_card(outcome, split)
    for count in ("multiply_adds", "parameters"):
        yield _reduction_card(outcome, count)
    if outcome.selection and (latency := outcome.selection.latency):
        predicted = f"predicted {significant(latency.predicted_ms)} ms"
        yield Card("latency", f"{significant(latency.measured_ms)} ms", predicted)
    yield Card("task parameters", amount(network.cost.task_parameters))
    yield Card("universal blocks kept", tables.kept(outcome, network))


def _accuracy_card(outcome: Outcome, split: str) -> Card:
    value = f"{tables.percent(outcome.network, split)} %"
    return Card(f"{split} accuracy", value, f"teacher {tables.percent(outcome.teacher, split)} %")


def _reduction_card(outcome: Outcome, count: str) -> Card:
    left, whole = map(amount, (outcome.network.cost[count], outcome.whole(count)))
    gone = f"{100 * outcome.gone(count):.1f} %"
    return Card(f"{count.replace('_', '-')} gone", gone, f"{left} of {whole}")


def path_titles(outcome: Outcome) -> dict[str, str]:
    """Shape, complexity and gate of each path, by its id in the picture of the architecture."""
    gates = outcome.network.gates
    return {
        identity(path, removed=path not in gates): _path_title(outcome, path, complexity)
        for path, complexity in outcome.run.path_complexities.items()
    }


def _path_title(outcome: Outcome, path: Path, complexity: float) -> str:
    height, width, channels = outcome.run.universal.node_shapes[path.target]
    gate = outcome.network.gates.get(path)
    state = "removed" if gate is None else f"gate {gate:.3f}"
    shape = f"{height}x{width}x{channels}"
    return ", ".join([path.name, shape, _in_words(outcome, complexity), state])


def _in_words(outcome: Outcome, complexity: float) -> str:
    if outcome.complexity == "latency_ms":
        return f"{complexity:.3f} ms"
    return f"{complexity / 1e6:.3f} M {outcome.complexity.replace('_', '-')}"


def _class_rows(outcome: Outcome) -> list[list[str]]:
    """A row per class under their header, the network's least accurate classes first."""
    images, *hits = outcome.by_class()
    wrong = outcome.confused()
    header = ["class", "images", "teacher (%)", f"{outcome.network_name} (%)"]
    rows = [[*header, "most often taken for"]]
    for label in np.argsort(hits[1], kind="stable"):
        name = outcome.classes[label]
        if images[label]:
            taken_for = _most_frequent(wrong[label], outcome.classes)
            accuracies = [f"{hit[label]:.1f}" for hit in hits]
            rows.append([name, f"{images[label]:,}", *accuracies, taken_for])
        else:
            rows.append([name, "0", "-", "-", ""])
    return rows


def _most_frequent(wrong: np.ndarray, names: Sequence[str]) -> str:
    """The class with the most of a class's mistakes, `[classes]`; empty without mistakes."""
    other = int(wrong.argmax())
    return f"{names[other]} ({wrong[other]})" if wrong.any() else ""


def _examples(names: Sequence[str], record: ExamplesRecord) -> Examples:
    known = dict(record.classes)
    return Examples(
        [
            Image(_png(png), f"{names[true]}, taken for {names[predicted]}")
            for true, predicted, png in record.confusions
        ],
        [Image(_png(png), names[label]) for label, png in known.items()],
        [name for label, name in enumerate(names) if label not in known],
    )


def _png(text: str) -> str:
    """The image of a record, if it is one.

    Raises:
        TailorError: it is no PNG image in base64, such as markup that somebody put into the record.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        content = b""
    if not content.startswith(_PNG):
        raise TailorError(
            "An image in records/examples.json is no PNG image in base64. Remove the file; the "
            "report is written without images then."
        )
    return text
