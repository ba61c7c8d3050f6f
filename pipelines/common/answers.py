"""Answers about image files as lines: for people, as JSON and as CSV."""

import csv
import io
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

from export.serving.client import Answer, RefusedError
from tailor_tf.support.errors import TailorError
from tailor_tf.support.text import one_line, printable

CSV_HEADER = "file,rank,class,score,error"

Ranking = Sequence[tuple[str, float]]  # the likeliest classes, the first one first
Line = Callable[[os.PathLike, Ranking | RefusedError], str]


def text(path: os.PathLike, answer: Ranking | RefusedError) -> str:
    """File, and class and score of each class, separated by tabs; or file and reason."""
    if isinstance(answer, RefusedError):
        return one_line(f"{path}: {answer}")
    cells = [f"{printable(name)}\t{score:.4f}" for name, score in answer]
    return "\t".join([printable(str(path)), *cells])


def as_json(path: os.PathLike, answer: Ranking | RefusedError) -> str:
    """One JSON object; bytes of a file's name that are not UTF-8 are `\\udcXX`, as in Python."""
    if isinstance(answer, RefusedError):
        return json.dumps({"file": str(path), "error": str(answer)})
    classes = [{"class": name, "score": round(score, 6)} for name, score in answer]
    return json.dumps({"file": str(path), "classes": classes})


def as_csv(path: os.PathLike, answer: Ranking | RefusedError) -> str:
    """A row with the columns of `CSV_HEADER` for each class, or one row with the reason."""
    if isinstance(answer, RefusedError):
        return _rows([[path, "", "", "", answer]])
    return _rows(
        [path, rank, name, f"{score:.6f}", ""] for rank, (name, score) in enumerate(answer, start=1)
    )


def _rows(rows: Iterable[Iterable[object]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().removesuffix("\n")


def ranking(answer: Answer, count: int, labels: tuple[str, ...]) -> Ranking:
    """The likeliest classes of an answer.

    Args:
        answer: the answer.
        count: number of classes.
        labels: names of all classes, for an answer that has none; empty if they are not known.

    Raises:
        TailorError: the labels are not those of the answer's scores.
    """
    if answer.classes or not labels:
        return answer.ranking(count)
    if len(labels) != len(answer.scores):
        raise TailorError(
            f"--labels has {len(labels)} classes and the model has {len(answer.scores)}; expected "
            "labels.txt of the same export."
        )
    named = Answer(answer.class_name, answer.score, answer.scores, labels)
    return named.ranking(count)


def read_labels(path: str | os.PathLike | None) -> tuple[str, ...]:
    """Class names from `labels.txt` of an export, one a line; none without a path."""
    return tuple(pathlib.Path(path).read_text(encoding="utf-8").splitlines()) if path else ()
