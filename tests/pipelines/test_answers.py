"""Lines of pipelines.predict, read back by the libraries that scripts use."""

import csv
import io
import json
import os
import pathlib

import pytest

from export.serving.client import Answer, RefusedError
from pipelines.common import answers
from tailor_tf.support.errors import TailorError

NAMES = ["plain.jpg", "a,b.jpg", 'quo"te.jpg', "line\nbreak.jpg", "caf\u00e9.jpg", "\u732b.jpg"]
RANKING = [("cat, black", 0.75), ('do"g', 0.25)]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"caf\xe9.jpg")])
def test_json(name):
    line = answers.as_json(pathlib.Path(name), RANKING)
    assert line.isascii() and "\n" not in line
    classes = [{"class": name, "score": score} for name, score in RANKING]
    assert json.loads(line) == {"file": name, "classes": classes}
    refused = json.loads(answers.as_json(pathlib.Path(name), RefusedError("It is bad.")))
    assert refused == {"file": name, "error": "It is bad."}


@pytest.mark.parametrize("name", NAMES)
def test_csv(name):
    path = pathlib.Path(name)
    lines = [answers.as_csv(path, RANKING), answers.as_csv(path, RefusedError("It is, bad."))]
    text = "\n".join([answers.CSV_HEADER, *lines]) + "\n"
    rows = [list(row.values()) for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert rows == [
        [name, "1", "cat, black", "0.750000", ""],
        [name, "2", 'do"g', "0.250000", ""],
        [name, "", "", "", "It is, bad."],
    ]


def test_text():
    line = answers.text(pathlib.Path("a.jpg"), [("cat", 0.75), ("dog", 0.25)])
    assert line == "a.jpg\tcat\t0.7500\tdog\t0.2500"
    assert answers.text(pathlib.Path("a.jpg"), RefusedError("Bad.")) == "a.jpg: Bad."


def test_classes_of_a_server_are_named_by_a_file(tmp_path):
    (tmp_path / "labels.txt").write_text("ant\nbee\ncow\n", encoding="utf-8")
    labels = answers.read_labels(tmp_path / "labels.txt")
    answer = Answer("bee", 0.7, (0.1, 0.7, 0.2))
    assert answers.ranking(answer, 2, labels) == [("bee", 0.7), ("cow", 0.2)]
    assert answers.ranking(answer, 1, answers.read_labels(None)) == [("bee", 0.7)]
    with pytest.raises(TailorError, match="--labels has 2 classes and the model has 3"):
        answers.ranking(answer, 2, labels[:2])
