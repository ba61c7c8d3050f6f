"""Files of reports: which ones there are, of finished and of unfinished runs."""

import shutil

import pytest

from tailor_tf.records import phase as phases
from tailor_tf.records.level import Level
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import tables, writer
from tailor_tf.support.errors import TailorError
from tests.report import builders
from tests.report.builders import row

PICTURES = ("architecture", "confusion", "gates", "history", "levels")


def test_write_leaves_the_files_and_returns_the_table(tmp_path, made):
    text = writer.write(str(made.write(tmp_path)))
    folder = tmp_path / "report"
    assert (folder / "table.md").read_text() == text == tables.table(made.outcome())
    assert (folder / "classes.md").read_text() == tables.classes(made.outcome())
    assert {path.name for path in folder.iterdir()} == {
        "table.md",
        "classes.md",
        "index.html",
        *(f"{name}.{form}" for name in PICTURES for form in ("png", "svg")),
    }
    for name in PICTURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (folder / f"{name}.svg").read_text()


def test_each_name_has_its_picture(made):
    found = writer.figures(made.outcome())
    labels = {name: figure.axes[0].get_xlabel() for name, figure in found.items()}
    assert labels == {
        "history": "epoch of the phase",
        "levels": "multiply-adds (M)",
        "confusion": "predicted",
        "gates": "epoch of the student",
        "architecture": "",
    }
    made.keep(phases.TEACHER)
    assert set(writer.figures(made.outcome())) == {"history", "levels", "confusion"}


def test_the_same_records_give_the_same_files(tmp_path, made):
    writer.write(made.write(tmp_path))
    before = {path: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    writer.write(tmp_path)
    assert {path: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before


PRUNED = phases.pruned(Level(3))
UNFINISHED = {
    "teacher": (phases.TEACHER,),
    "student": (phases.TEACHER, phases.STUDENT),
    "pruned": (phases.TEACHER, phases.STUDENT, PRUNED),
    "fine-tuned": (
        *(phases.TEACHER, phases.STUDENT, PRUNED),
        *(phases.pruned(Level(1)), phases.finetuned(Level(3))),
    ),
}


@pytest.mark.parametrize("phase", UNFINISHED)
def test_an_unfinished_run_has_a_report_of_its_results_so_far(tmp_path, made, phase, monkeypatch):
    monkeypatch.setattr(writer, "FORMATS", ("svg",))
    made.keep(*UNFINISHED[phase])
    text = writer.write(made.write(tmp_path))
    assert "The run is not finished" in text
    assert row(text, "teacher")[1] == "97.00"
    assert ("| student" in text) == (phase != "teacher")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "The run is not finished" in page
    assert ("Gates over time" in page) == ("Architecture" in page) == (phase != "teacher")
    assert ('<td class="words">3</td>' in page) == (phase == "fine-tuned")
    assert (tmp_path / "report" / "gates.svg").exists() == (phase != "teacher")


def test_without_a_teacher_there_is_no_report(tmp_path):
    with pytest.raises(TailorError, match=r"teacher\.json does not exist: the teacher phase has"):
        writer.write(tmp_path)


def _two_tasks(folder):
    """Working directories of a hard and of an easy task, the hard one first."""
    hard = builders.finished()
    hard.change_task("textures")
    hard.change(phases.TEACHER, accuracy={"validation": 0.65, "test": 0.64})
    return [hard.write(folder / "hard"), builders.finished().write(folder / "easy")]


def test_the_overview_lies_beside_its_picture(tmp_path):
    writer.write_overview(_two_tasks(tmp_path), tmp_path / "all" / "sets.html")
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert names == {"sets.html", "sets.svg", "sets.png"}


def test_an_overview_without_a_tailored_network_has_no_picture(tmp_path, made):
    made.keep(phases.TEACHER)
    writer.write_overview([str(made.write(tmp_path))], str(tmp_path / "sets.html"))
    text = (tmp_path / "sets.html").read_text()
    assert "0 tailored networks" in text and "<figure>" not in text and "finetune" in text
    assert not (tmp_path / "sets.svg").exists()


def test_an_overview_names_a_folder_without_networks(tmp_path):
    folders = _two_tasks(tmp_path)
    shutil.rmtree(Workdir(folders[0]).records)
    with pytest.raises(TailorError, match=r"hard/records holds no record of a finished network"):
        writer.write_overview(folders, tmp_path / "sets.html")
