"""Records with values that no run writes: a report, or one message, and never another error."""

import json
import random

import pytest

from tailor_tf.records.records import ExamplesRecord
from tailor_tf.report import tables, writer
from tailor_tf.support.errors import TailorError
from tests.fuzz.watching import watched
from tests.report.builders import PIXEL, finished

VALUES = (None, True, -1, 0, 10**30, 1e-300, float("nan"), float("inf"), "x", "", [], {}, [1])


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A finished run, whose pictures are drawn and not written."""
    made = finished()
    made.examples = ExamplesRecord("finetuned_2", "test", ((0, PIXEL),), ((1, 0, PIXEL),))
    picture = '<svg width="9pt"></svg>'
    monkeypatch.setattr(writer, "save", lambda figure, path: path.write_text(picture))
    return made.write(tmp_path)


def _places(value, place=()):
    """The places of all values inside of a value, the first two of a list."""
    if place:
        yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value[:2])
    for key, each in inside if isinstance(value, dict | list) else ():
        if isinstance(each, dict | list):
            yield from _places(each, (*place, key))
        else:
            yield (*place, key)


def _changed(text, place, value):
    data = json.loads(text)
    inside = data
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    data.pop("checksum", None)  # as in records of earlier versions
    return json.dumps(data)


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_a_changed_value_is_shown_or_named(count, workdir):
    drawn = random.Random(0)
    files = sorted((workdir / "records").glob("*.json"))
    refused = 0
    for _ in range(count):
        file = drawn.choice(files)
        text = file.read_text()
        place = drawn.choice(list(_places(json.loads(text))))
        file.write_text(_changed(text, place, drawn.choice(VALUES)))
        try:
            with watched(workdir):
                writer.write(workdir)
                tables.comparison([workdir])
                writer.write_overview([workdir], workdir / "overview.html")
        except TailorError as error:
            refused += 1
            assert str(workdir) in str(error) or ".json" in str(error)
        file.write_text(text)
    assert count / 10 < refused < count
