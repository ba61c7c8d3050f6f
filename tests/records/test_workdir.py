"""Files of a run, and which of them go when a stage is begun anew."""

import pytest

from tailor_tf.records import phase as names
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir

PHASES = (
    names.TEACHER,
    names.STUDENT,
    names.pruned(Level(8)),
    names.pruned(Level(8, 6)),
    names.finetuned(Level(8)),
    names.finetuned(Level(8, 6)),
    Phase("linear"),
    Phase("residual_adapters"),
)


@pytest.fixture
def workdir(tmp_path):
    """Everything that a run with baselines leaves, and what a killed program left."""
    made = Workdir(tmp_path)
    for phase in PHASES:
        checkpoint = made.checkpoint(phase)
        best = checkpoint.with_suffix(".best.safetensors")
        half = checkpoint.with_name(f".{checkpoint.name}.abc123")
        for path in (made.record(phase.name), checkpoint, best, half, made.logs(phase) / "events"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
    for name in ("run", "selection", "latencies", "examples"):
        made.record(name).write_text("{}")
    made.task_pack.write_text("pack")
    return made


def left(workdir):
    """Phases that have any file left."""
    found = {
        Phase.parse(path.name.lstrip(".").partition(".")[0])
        for folder in ("records", "checkpoints", "logs")
        for path in (workdir.path / folder).iterdir()
    }
    return found - {Phase(name) for name in ("run", "selection", "latencies", "examples")}


@pytest.mark.parametrize(
    ("stage", "kept"),
    [
        ("teacher", ()),
        ("student", ("teacher",)),
        ("prune", ("teacher", "student")),
        ("finetune", ("teacher", "student", "pruned")),
    ],
)
def test_a_stage_goes_with_all_that_follow_it(workdir, stage, kept):
    workdir.forget(names.kinds_from(stage))
    baselines = {phase for phase in PHASES if phase.is_baseline}
    assert left(workdir) == {phase for phase in PHASES if phase.kind in kept} | baselines
    assert workdir.record("run").exists() and workdir.task_pack.exists()


def test_a_baseline_goes_alone(workdir):
    workdir.forget(("linear",))
    assert left(workdir) == set(PHASES) - {Phase("linear")}


def test_files_of_somebody_else_stay(workdir):
    mine = workdir.path / "records" / "My notes.txt"
    mine.write_text("teacher")
    workdir.forget(names.kinds_from("teacher"))
    assert mine.exists()


def test_what_says_that_a_network_was_chosen(workdir):
    workdir.forget_result()
    workdir.forget_result()  # there is nothing left, which is fine
    assert not workdir.record("selection").exists() and not workdir.task_pack.exists()
    assert left(workdir) == set(PHASES)


def test_phases_that_have_a_record(workdir):
    assert set(workdir.phases()) == set(PHASES)
    assert Workdir(workdir.path / "nowhere").phases() == []


@pytest.mark.parametrize("phase", PHASES)
def test_phases_have_names(phase):
    assert Phase.parse(phase.name) == phase


@pytest.mark.parametrize("name", ["", "6", "finetuned_", "pruned_8_6_4", "../teacher", "Teacher"])
def test_names_of_no_phase(name):
    with pytest.raises(ValueError, match="is no phase; expected such as teacher or finetuned_8_6"):
        Phase.parse(name)


def test_unknown_stage():
    with pytest.raises(
        ValueError, match="Unknown phase 'prine'; known are depth, teacher, student"
    ):
        names.kinds_from("prine")


def test_other_files_among_the_records_are_no_baselines(workdir):
    for phase in PHASES:
        workdir.record(phase.name).unlink()
    for name in ("notes", "teacher copy", "Linear", "student_old"):
        workdir.record(name).write_text('{"layout": 2}')
    assert set(workdir.phases()) == {Phase("notes"), Phase("student_old")}
    assert Records(workdir).baselines() == {}
