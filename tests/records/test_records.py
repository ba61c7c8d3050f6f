"""Records: through JSON and back, and from files of the version before."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.cost import Cost
from tailor_tf.network.latencies import Latencies
from tailor_tf.records import phase as phases
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import (
    EpochRecord,
    ExamplesRecord,
    LatencyRecord,
    PhaseRecord,
    RunRecord,
    SelectionRecord,
    TaskSummary,
    UniversalSummary,
)
from tailor_tf.records.same_settings import SettingsChangedError, check_same_settings
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import FileKindError
from tests.support import kinds

OLD_LAYOUT = pathlib.Path(__file__).parent / "old_layout"
MACHINE = {"runtime": "LiteRT 2", "precision": "int8", "threads": "1", "processor": "Some"}

TEACHER = PhaseRecord(
    seconds=12.5,
    accuracy={"validation": 0.75},
    confusion={"validation": ((0, 0, 6), (1, 0, 2))},
    cost=Cost(1_000, 100, 110, universal_blocks=2, proxies=0),
    architecture=None,
    gates={},
    settings={"task": "digits", "classes": ["a", "b"], "universal": "f0", "recipe": {"epochs": 1}},
)
FINETUNED = PhaseRecord(
    seconds=7.0,
    accuracy={"validation": 0.5, "test": 0.25},
    confusion={"validation": (), "test": ((1, 1, 3),)},
    cost=Cost(500, 50, 5, universal_blocks=1, proxies=1, latency_ms=0.5),
    architecture=Architecture(2, (Path.block(1), Path.proxy(2, source=1))),
    gates={Path.block(1): 1.0, Path.proxy(2, source=1): 0.75},
    settings={**TEACHER.settings, "max_skip": None},
    history=(EpochRecord({"loss": 2.0, "validation_accuracy": 0.5, "seconds": 3.0}, (1.0, 0.75)),),
    stopped=True,
    restored=(Path.proxy(2, source=1),),
)
RUN = RunRecord(
    task=TaskSummary("digits", 2, {"train": 8, "validation": 4}),
    universal=UniversalSummary("tiny", 2, ((4, 4, 3), (2, 2, 6), (1, 1, 9)), 1_000, 100),
    complexity="latency_ms",
    path_complexities={Path.block(1): 0.25, Path.proxy(2, source=0): 0.125},
    environment={"Python": "3.11"},
    tolerance=None,
    budget={"latency_ms": 0.9},
)
LEVELS = (Level(3, 8), Level(2))
SELECTION = SelectionRecord(LEVELS, chosen=Level(3, 8), within_tolerance=False)
MEASURED = SelectionRecord(LEVELS, Level(2), True, LatencyRecord(0.7, 0.731, MACHINE))
EXAMPLES = ExamplesRecord("finetuned_2", "test", ((0, "iVBO"),), ((1, 0, "iVBP"),))
PIECES = {"stem": 0.1, "block1": 0.2, "head": 0.3}
LATENCIES = Latencies(PIECES, network=0.7, call=0.1, num_blocks=1, measured_on=MACHINE)

KINDS = {
    "epoch": FINETUNED.history[0],
    "epoch without gates": EpochRecord({"loss": 1.0, "validation_accuracy": 0.5}),
    "teacher": TEACHER,
    "fine-tuned student": FINETUNED,
    "run": RUN,
    "selection": SELECTION,
    "selection with latency": MEASURED,
    "examples": EXAMPLES,
    "latencies": LATENCIES,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_record_is_the_same_after_json(name):
    record = KINDS[name]
    assert type(record).from_dict(json.loads(json.dumps(record.as_dict()))) == record


@pytest.mark.parametrize("record", [RUN, MEASURED, EXAMPLES, LATENCIES])
def test_what_is_written_is_what_is_read(tmp_path, record):
    records = Records(Workdir(tmp_path))
    assert records.read(type(record)) is None
    records.write(record)
    assert records.read(type(record)) == record
    assert [path.name for path in (tmp_path / "records").iterdir()] == [
        records.path(type(record)).name
    ]


def test_phases_levels_and_baselines_are_told_apart(tmp_path):
    records = Records(Workdir(tmp_path))
    for name in ("teacher", "pruned_10", "pruned_9_8", "pruned_9", "finetuned_9", "linear"):
        records.write_phase(Phase.parse(name), TEACHER)
    for record in (RUN, SELECTION, LATENCIES, EXAMPLES):
        records.write(record)
    assert list(records.levels("pruned")) == [Level(9), Level(9, 8), Level(10)]
    assert list(records.levels("finetuned")) == [Level(9)]
    assert records.baselines() == {"linear": TEACHER}
    assert records.read_phase(phases.STUDENT) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"layout": 2, "lev',
        '{"layout": 2, "levels": ["2"]}',
        '{"layout": 2, "levels": ["two"], "chosen": "two", "latency": null}',
        '{"layout": 2, "levels": 2, "chosen": "2", "latency": null}',
        "[]",
    ],
)
def test_a_damaged_record_is_named(tmp_path, text):
    path = Workdir(tmp_path).record("selection")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(TailorError, match=r"selection\.json is damaged: .* Remove it, and run"):
        Records(Workdir(tmp_path)).read(SelectionRecord)


@pytest.fixture
def old(tmp_path):
    """Records of a run on digits from the time when records were dictionaries, shortened."""
    shutil.copytree(OLD_LAYOUT, tmp_path / "records")
    return Records(Workdir(tmp_path))


def test_old_record_of_a_run(old):
    run = old.read(RunRecord)
    assert run.task == TaskSummary("digits", 10, {"train": 1169, "validation": 269, "test": 359})
    assert (run.universal.name, run.universal.num_blocks) == ("wide_resnet26", 12)
    assert run.universal.node_shapes[0] == (32, 32, 16)
    assert len(run.universal.node_shapes) == 13
    assert run.path_complexities[Path.block(1)] == 3_579_904
    assert run.path_complexities[Path.proxy(1, source=0)] == 155_648
    assert len(run.path_complexities) == len(Architecture.full(12, 3).paths)
    assert (run.complexity, run.tolerance, run.budget) == ("multiply_adds", 0.5, {})


def test_old_records_of_phases(old):
    teacher, student = (old.read_phase(phase) for phase in (phases.TEACHER, phases.STUDENT))
    assert teacher.accuracy["validation"] == pytest.approx(268 / 269)
    assert teacher.architecture is None and not teacher.gates
    assert teacher.classes == tuple("0123456789") and teacher.task_name == "digits"
    assert teacher.fingerprint == student.fingerprint and len(teacher.fingerprint) == 64
    assert teacher.confusion["test"][0] == (0, 0, 36)
    assert student.architecture == Architecture.full(12, 3)
    assert [len(epoch.gates) for epoch in student.history] == [45, 45]
    assert student.curve[0] == pytest.approx(192 / 269)


def test_old_records_of_levels(old):
    (pruned,), (tuned,) = (old.levels(kind).values() for kind in ("pruned", "finetuned"))
    assert pruned.architecture == tuned.architecture
    assert pruned.architecture.universal_blocks == (3, 6, 7)
    assert set(tuned.gates) == set(tuned.architecture.paths)
    assert tuned.cost["multiply_adds"] == 16_383_232 and tuned.cost.latency_ms is None
    assert not tuned.stopped and not pruned.restored and not pruned.history
    assert tuned.history[0].figures["teacher_loss"] == pytest.approx(1.00038, abs=1e-5)


def test_old_selection_and_examples(old):
    assert old.read(SelectionRecord) == SelectionRecord((Level(8),), Level(8), True)
    examples = old.read(ExamplesRecord)
    assert (examples.of, examples.split) == ("finetuned_8", "test")
    assert examples.classes[0][0] == 0 and examples.confusions[0][:2] == (5, 9)


def test_old_settings_are_the_same_settings(old):
    settings = dict(old.read_phase(phases.TEACHER).settings)
    assert old.read_if_same(phases.TEACHER, settings) == old.read_phase(phases.TEACHER)


@pytest.mark.parametrize("path", sorted(OLD_LAYOUT.iterdir()), ids=lambda path: path.name)
def test_old_records_lose_nothing_but_their_layout(old, path):
    kinds = [RunRecord, SelectionRecord, ExamplesRecord]
    named = {old.path(kind).name: kind for kind in kinds}
    before = json.loads(path.read_text())
    again = named.get(path.name, PhaseRecord).from_dict(before).as_dict()
    assert {"layout": 2, **json.loads(json.dumps(again))}.items() >= before.items()


class TestDamage:
    @pytest.fixture
    def records(self, tmp_path):
        records = Records(Workdir(tmp_path))
        records.write(RUN)
        records.write_phase(phases.TEACHER, TEACHER)
        return records

    def test_altered_value(self, records):
        path = records.phase_path(phases.TEACHER)
        path.write_text(path.read_text().replace('"validation": 0.75', '"validation": 0.95'))
        with pytest.raises(TailorError, match=r"teacher.json is damaged: .*does not match its che"):
            records.read_phase(phases.TEACHER)

    def test_white_space_and_order_do_not_matter(self, records):
        path = records.phase_path(phases.TEACHER)
        path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
        assert records.read_phase(phases.TEACHER) == TEACHER

    def test_record_without_a_checksum(self, records):
        path = records.path(RunRecord)
        data = json.loads(path.read_text())
        del data["checksum"]
        path.write_text(json.dumps(data))
        assert records.read(RunRecord) == RUN

    @pytest.mark.parametrize(
        "text", ["[" * 100_000, '{"layout": ' + "2" * 5000 + "}", "\xff", "[]"]
    )
    def test_text_that_is_no_record(self, records, text):
        records.path(RunRecord).write_text(text, encoding="latin-1")
        with pytest.raises(TailorError, match=r"run.json is damaged"):
            records.read(RunRecord)


class TestLinks:
    """A working directory of a stranger leads to no other files."""

    @pytest.mark.parametrize(
        "place",
        [
            *("records", "checkpoints", "logs", "report", "exports", "lock", "flags.txt"),
            *("records/teacher.json", "checkpoints/teacher.safetensors", "task_pack.safetensors"),
        ],
    )
    @pytest.mark.parametrize("make", [*kinds.LINKS, *kinds.SPECIAL])
    def test_they_are_refused(self, tmp_path, place, make):
        outside, path = tmp_path / "outside", tmp_path / "run" / place
        outside.mkdir()
        path.parent.mkdir(parents=True)
        make(path, outside)
        with pytest.raises(FileKindError, match=rf"{path} is a "):
            Workdir(tmp_path / "run").check()

    def test_what_is_behind_them_is_not_forgotten(self, tmp_path):
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "teacher.json").write_text("theirs")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "records").symlink_to(tmp_path / "outside")
        with pytest.raises(FileKindError, match="records is a symbolic link"):
            Workdir(tmp_path / "run").forget(["teacher"])
        assert (tmp_path / "outside" / "teacher.json").read_text() == "theirs"

    def test_a_working_directory(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "run").symlink_to(tmp_path / "real")  # as the person says
        Records(Workdir(tmp_path / "run")).write(RUN)
        (tmp_path / "run" / "records" / "My backup").mkdir()  # which no program looks at
        (tmp_path / "run" / "photos").symlink_to(tmp_path)
        Workdir(tmp_path / "run").check()


def test_a_name_that_earlier_versions_accepted_may_be_replaced(tmp_path):
    """`--name` lets a run of theirs go on."""
    old = {"task": "my photos", "seed": 0}
    check_same_settings(tmp_path, old, {"task": "photos", "seed": 0})
    with pytest.raises(SettingsChangedError, match="task was 'digits' and is 'photos'"):
        check_same_settings(tmp_path, {**old, "task": "digits"}, {"task": "photos", "seed": 0})
    with pytest.raises(SettingsChangedError, match="seed was 0 and is 1"):
        check_same_settings(tmp_path, old, {"task": "photos", "seed": 1})


def test_fingerprints_of_images(tmp_path):
    records = Records(Workdir(tmp_path))
    assert records.fingerprints() == {}
    records.write_phase(phases.TEACHER, TEACHER)  # of an earlier version
    assert records.fingerprints() == {}
    found = {"train": {"a": "f1", "b": "f2"}}
    settings = {**TEACHER.settings, "fingerprint": found}
    records.write_phase(phases.TEACHER, dataclasses.replace(TEACHER, settings=settings))
    assert records.fingerprints() == found
    records.phase_path(phases.TEACHER).write_text("{")
    assert records.fingerprints() == {}
