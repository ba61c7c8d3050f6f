"""Progress: nothing for short work, a bar on a terminal, and one line elsewhere."""

import sys

import pytest

from tailor_tf.data import progress


@pytest.mark.parametrize(
    ("patience", "is_terminal", "expected"),
    [(60, True, []), (-1, False, ["label"]), (-1, True, ["label", "200/400", "400/400"])],
)
def test_what_is_shown(monkeypatch, capsys, patience, is_terminal, expected):
    monkeypatch.setattr(progress, "_PATIENCE", patience)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    work = progress.Progress("label", 400)
    for done in (200, 100, 90):  # ten images are broken
        work(done)
    work.end()
    output = capsys.readouterr().out
    assert bool(output) == bool(expected)
    assert all(part in output for part in expected)
    assert is_terminal or output in ("", "label\n")
