"""The report: its table against hand computed figures, its pictures by the artists in them."""

import json
import re

import pytest

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.records.records import LAYOUT
from tailor_tf.report import outcome, tables, writer
from tailor_tf.report.architecture import draw_architecture
from tailor_tf.support.errors import TailorError

FULL = Architecture.full(4, max_skip=2)

# stem -> 1 -> 2 -> proxy -> 4 -> classifier, and a proxy from the stem into layer 2
KEPT = Architecture(
    4, (Path.block(1), Path.block(2), Path.proxy(2, source=0), Path.proxy(4, source=2))
)
FULL_GATES = [[*path.as_list(), 0.5] for path in FULL.paths]
GATES = [[1, 0, True, 1.0], [2, 1, True, 0.7], [2, 0, False, 0.3], [4, 2, False, 1.0]]

PICTURES = ("architecture", "confusion", "gates", "history", "levels")

# true class, predicted class, images: class 2 has none
CONFUSION = [[0, 0, 6], [0, 1, 2], [1, 1, 1], [1, 0, 3]]


def _record(phase, accuracy, multiply_adds, parameters, task_parameters, architecture, **more):
    cost = {"multiply_adds": multiply_adds, "parameters": parameters}
    cost |= {"task_parameters": task_parameters, "universal_blocks": 4, "proxies": 0}
    cost |= {"latency_ms": None}
    data = None
    if architecture:
        cost["universal_blocks"] = len(architecture.universal_blocks)
        cost["proxies"] = len(architecture.proxies)
        data = architecture.as_dict()
    history = [
        {"loss": 1.5, "accuracy": 0.5, "validation_accuracy": 0.6},
        {"loss": 0.5, "accuracy": 0.9, "validation_accuracy": 0.9},
    ]
    if phase == "student":
        for epoch, gate in zip(history, (0.25, 0.75), strict=True):
            epoch["gates"] = [gate] * len(architecture.paths)
    return {
        "phase": phase,
        "settings": {"task": "digits", "universal": "f0", "classes": ["one", "two", "six"]},
        "confusion": dict.fromkeys(accuracy, CONFUSION),
        "seconds": 1234.4,
        "accuracy": accuracy,
        "cost": cost,
        "architecture": data,
        "history": [] if phase == "pruned" else history,
        **more,
    }


def _records():
    run = {
        "task": {
            "name": "digits",
            "num_classes": 10,
            "images": {"train": 1200, "validation": 240, "test": 357},
        },
        "universal": {
            "name": "tiny",
            "num_blocks": 4,
            "node_shapes": [[8, 8, 4], [8, 8, 4], [4, 4, 8], [4, 4, 8], [2, 2, 16]],
            "multiply_adds": 990_000,
            "parameters": 50_000,
        },
        "complexity": "multiply_adds",
        "path_complexities": [[4, 3, True, 250_000], [2, 1, True, 125_000]],
        "environment": {"Python": "3.11.7"},
        "tolerance": 0.5,
        "budget": {},
    }
    selection = {"levels": ["3", "2", "1"], "chosen": "2", "within_tolerance": True}
    selection |= {"latency": None}
    both = {"validation": 0.97, "test": 0.96}
    records = {
        "run": run,
        "selection": selection,
        "teacher": _record("teacher", both, 1_000_000, 51_000, 51_500, None),
        "student": _record(
            "student", {"validation": 0.975}, 1_100_000, 60_000, 12_300, FULL, gates=FULL_GATES
        ),
    }
    for level in (3, 2, 1):
        accuracy = {"validation": 0.9 + 0.01 * (3 - level)}
        if level == 2:
            accuracy = {"validation": 0.9675, "test": 0.9625}
        counts = (600_000 - 10_000 * level, 30_600, 2_340, KEPT)
        low = {"validation": 0.5}
        restored = [[4, 2, False]]
        records[f"pruned_{level}"] = _record("pruned", low, *counts, gates=GATES, restored=restored)
        records[f"finetuned_{level}"] = _record("finetuned", accuracy, *counts, gates=GATES)
    return records


def _write(workdir, records):
    (workdir / "records").mkdir(parents=True, exist_ok=True)
    for name, record in records.items():
        (workdir / "records" / f"{name}.json").write_text(json.dumps({"layout": LAYOUT, **record}))
    return workdir


@pytest.fixture
def workdir(tmp_path):
    return _write(tmp_path, _records())


def _cells(text, row):
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_hold_the_figures_of_the_records(workdir):
    text = tables.table(outcome.load(workdir))
    assert _cells(text, "teacher")[1:] == (
        ["97.00", "96.00", "0.0510", "0.0515", "1.00", "4 of 4", "0", "1,234"]
    )
    assert _cells(text, "student")[1:] == (
        # 4 layers, 2 proxies each but for the first, which has the stem alone behind it
        ["97.50", "-", "0.0600", "0.0123", "1.10", "4 of 4", str(1 + 3 * 2), "1,234"]
    )
    assert _cells(text, "pruned")[1:3] == ["50.00", "-"]
    assert _cells(text, "fine-tuned")[1:] == (
        ["96.75", "96.25", "0.0306", "0.00234", "0.580", "2 of 4", "2", "1,234"]
    )


def test_columns_are_aligned_and_name_their_units(workdir):
    lines = [x for x in tables.table(outcome.load(workdir)).splitlines() if x.startswith("|")]
    assert len(lines) == 1 + 1 + 4 + 1 + 1 + 3  # header, rule, phases; header, rule, levels
    for table in (lines[:6], lines[6:]):
        bars = [[i for i, letter in enumerate(line) if letter == "|"] for line in table]
        assert all(places == bars[0] for places in bars)
    for column in ("validation (%)", "parameters (M)", "multiply-adds (M)", "seconds"):
        assert column in lines[0]


def test_text_around_the_table(workdir):
    text = tables.table(outcome.load(workdir))
    first, *_ = text.splitlines()
    assert "digits" in first and "tiny" in first
    assert "50.0 k parameters, 0.990 M multiply-adds" in first
    assert "-0.25 points on validation, +0.25 points on test" in text  # 96.75-97.00, 96.25-96.00
    assert "42.0 % fewer multiply-adds" in text  # 1 - 580_000 / 1_000_000
    assert "40.0 % fewer parameters" in text  # 1 - 30_600 / 51_000
    assert "; within the tolerance of 0.5 points" in text
    # the root of 0.9636 * 0.0364 / 240, where 0.9636 is one more of 0.9675 * 240, of 242
    assert "standard error on its 240 images: 1.21 points, more than the tolerance" in text


def test_levels_that_were_tried(workdir):
    text = tables.table(outcome.load(workdir))
    # 600_000 - 10_000 multiply-adds a block; the chosen one is more accurate and leaner than 1
    assert _cells(text, "3")[1] == "90.00" and _cells(text, "3")[4] == "0.570"
    assert _cells(text, "2")[1] == "96.75" and _cells(text, "2")[-1] == "chosen"
    assert _cells(text, "1")[1] == "92.00" and _cells(text, "1")[-1] == "dominated by 2"


def test_a_level_that_was_given_up(tmp_path):
    records = _records()
    records["finetuned_3"]["stopped"] = True
    text = tables.table(outcome.load(_write(tmp_path, records)))
    assert _cells(text, "3")[-1] == "given up after 2 epochs"


def test_text_of_a_worse_and_larger_network_without_test_labels(tmp_path):
    records = _records()
    records["selection"]["within_tolerance"] = False
    del records["teacher"]["accuracy"]["test"]
    records["finetuned_2"]["cost"]["multiply_adds"] = 1_050_000
    text = tables.table(outcome.load(_write(tmp_path, records)))
    assert "on test" not in text
    assert "5.0 % more multiply-adds" in text
    assert "NOT within the tolerance" in text


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("teacher", "the teacher phase"),
        ("student", "the student phase"),
        ("run", "the teacher phase"),
        ("selection", "the selection"),
        ("pruned_3", "pruning with 3 universal blocks"),
        ("finetuned_1", "fine-tuning with 1 universal block to"),
    ],
)
def test_a_missing_record_names_file_and_phase(workdir, name, phase):
    (workdir / "records" / f"{name}.json").unlink()
    with pytest.raises(ValueError, match=rf"{name}\.json does not exist: {phase}.* has not run"):
        outcome.load(workdir)


def test_a_chosen_level_that_was_not_tried_is_refused(tmp_path):
    records = _records()
    records["selection"]["chosen"] = "5"
    with pytest.raises(ValueError, match=r"level 5; expected one of \['3', '2', '1'\]"):
        outcome.load(_write(tmp_path, records))


@pytest.mark.parametrize("layout", [None, 1, 99])
def test_records_of_another_layout_are_refused(tmp_path, layout):
    records = _records()
    records["teacher"]["layout"] = layout
    with pytest.raises(TailorError, match=rf"teacher.json has layout {layout or 1} and .* reads"):
        writer.write(_write(tmp_path, records))


def test_a_damaged_record_is_named(workdir):
    (workdir / "records" / "student.json").write_text('{"layout": 2, "acc')
    with pytest.raises(TailorError, match=r"student.json is damaged"):
        writer.write(workdir)


UNFINISHED = {
    "teacher": {"run", "teacher"},
    "student": {"run", "teacher", "student"},
    "pruned": {"run", "teacher", "student", "pruned_3"},
    "fine-tuned": {"run", "teacher", "student", "pruned_3", "pruned_1", "finetuned_3"},
}


@pytest.mark.parametrize("phase", UNFINISHED)
def test_of_an_unfinished_run_there_is_what_there_is(tmp_path, phase):
    records = {name: r for name, r in _records().items() if name in UNFINISHED[phase]}
    workdir = _write(tmp_path, records)
    text = writer.write(workdir)
    assert "The run is not finished" in text
    assert _cells(text, "teacher")[1] == "97.00"
    assert ("| student" in text) == (phase != "teacher")
    page = (workdir / "report" / "index.html").read_text()
    assert "The run is not finished" in page
    assert ("Gates over time" in page) == ("Architecture" in page) == (phase != "teacher")
    assert ('<td class="words">3</td>' in page) == (phase == "fine-tuned")
    with pytest.raises(TailorError, match="does not exist"):
        outcome.load(workdir)


def test_latency_and_another_complexity(tmp_path):
    records = _records()
    for name, latency in (
        ("teacher", 2.0),
        ("student", 2.5),
        *((f"{k}_{n}", n / 10 + 0.5) for n in (1, 2, 3) for k in ("pruned", "finetuned")),
    ):
        records[name]["cost"]["latency_ms"] = latency
    records["run"] |= {"complexity": "latency_ms", "budget": {"latency_ms": 0.9}}
    machine = {"runtime": "LiteRT 2", "precision": "int8", "threads": "1", "processor": "Some"}
    measured = {"predicted_ms": 0.7, "measured_ms": 0.731, "measured_on": machine}
    records["selection"]["latency"] = measured
    text = writer.write(_write(tmp_path, records))
    assert _cells(text, "teacher")[6] == "2.00" and _cells(text, "fine-tuned")[6] == "0.700"
    assert "One image takes 0.731 ms, predicted were 0.700 ms (LiteRT 2, int8" in text
    # by latency level 1, at 0.6 ms, is leaner than level 2 and none is worse in both
    assert "dominated" not in text.replace(_line(text, "3"), "")
    assert "dominated by 2" in _line(text, "3")


def _line(text, row):
    return next(line for line in text.splitlines() if line.startswith(f"| {row} "))


def _identities(svg):
    found = re.findall(r'id="(block\d+(?:_proxy\d+)?(?:_removed)?)"', svg.read_text())
    assert len(found) == len(set(found))
    return set(found)


def test_the_picture_has_one_artist_per_path_with_its_state(workdir):
    draw_architecture(outcome.load(workdir), workdir / "picture.svg")
    assert _identities(workdir / "picture.svg") == {
        path.name if path in KEPT.paths else f"{path.name}_removed" for path in FULL.paths
    }


def test_a_dense_picture_leaves_out_the_longest_removed_proxies(tmp_path):
    records = _records()
    dense = Architecture.full(12, max_skip=None)
    kept = Architecture(12, (*(Path.block(n) for n in range(1, 13)), Path.proxy(12, source=0)))
    records["run"]["universal"] |= {"num_blocks": 12, "node_shapes": [[8, 8, 4]] * 13}
    records["student"]["architecture"] = dense.as_dict()
    records["finetuned_2"]["architecture"] = kept.as_dict()
    records["finetuned_2"]["gates"] = [[*path.as_list(), 0.5] for path in kept.paths]
    workdir = _write(tmp_path, records)
    draw_architecture(outcome.load(workdir), workdir / "picture.svg")
    found = _identities(workdir / "picture.svg")
    assert {path.name for path in kept.paths} <= found
    removed = {name for name in found if name.endswith("_removed")}
    assert len(removed) == 4 * 12  # of 12 * 13 / 2 - 1
    assert "block2_proxy1_removed" in removed and "block12_proxy1_removed" not in removed


def test_write_leaves_the_files_and_returns_the_table(workdir):
    text = writer.write(workdir)
    folder = workdir / "report"
    assert (folder / "table.md").read_text() == text
    assert {path.name for path in folder.iterdir()} == {
        "table.md",
        "classes.md",
        "index.html",
        *(f"{name}.{form}" for name in PICTURES for form in ("png", "svg")),
    }
    for name in PICTURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (folder / f"{name}.svg").read_text()


def test_accuracy_by_class(workdir):
    text = tables.classes(outcome.load(workdir))
    assert text.startswith("Accuracy by class on test images.")
    assert _cells(text, "one") == ["one", "8", "75.0", "75.0"]
    assert _cells(text, "two") == ["two", "4", "25.0", "25.0"]
    assert "| six" not in text  # no image of it
    assert _cells(text, "mean over classes")[1:] == ["12", "50.0", "50.0"]
    assert re.findall("^- (.*)$", text, re.MULTILINE) == [
        "two taken for one: 3",
        "one taken for two: 2",
    ]


def test_without_test_labels_classes_are_those_of_validation_images(tmp_path):
    records = _records()
    for record in records.values():
        record.get("confusion", {}).pop("test", None)
    assert outcome.load(_write(tmp_path, records)).split == "validation"


def _several_runs(folder):
    """Two seeds of one task, with a baseline in the first, and a run that only has a teacher."""
    records = _records()
    counts = (1_200_000, 52_000, 3_000, None)
    linear = _record("linear", {"validation": 0.8, "test": 0.7}, *counts)
    first = _write(folder / "first", records | {"linear": linear})
    other = _records()
    other["finetuned_2"]["accuracy"] = {"validation": 0.9875, "test": 0.9425}
    other["finetuned_2"]["cost"]["multiply_adds"] = 480_000
    second = _write(folder / "second", other)
    teacher = _record("teacher", {"validation": 0.5, "test": 0.4}, *counts)
    teacher["settings"] = {"task": "digits", "universal": "f1", "classes": ["one", "two", "six"]}
    return first, second, second, _write(folder / "third", {"teacher": teacher})


def test_methods_are_compared_by_task_with_mean_and_range(tmp_path):
    text = tables.comparison(_several_runs(tmp_path))
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
    assert [row[:3] for row in rows[2:]] == [
        ["digits", "finetune", "2"],
        ["digits", "linear", "1"],
        ["digits", "nettailor", "2"],
        ["digits", "finetune", "1"],  # over another universal network
    ]
    finetune, linear, ours, other = rows[2:]
    assert finetune[4] == "96.00 (96.00 to 96.00)"
    assert linear[3:] == (
        ["80.00", "70.00", "0.0520", "0.00300", "1.20", "-2.0", "-20.0", "4", "1,234"]
    )
    assert ours[3:5] == ["97.75 (96.75 to 98.75)", "95.25 (94.25 to 96.25)"]
    # (580_000 + 480_000) / 2 of 1_000_000
    assert ours[7] == "0.530" and ours[9] == "47.0"
    # teacher, student and three levels, pruned and fine-tuned, 1234.4 s each
    assert ours[10:] == ["2", f"{8 * 1234.4:,.0f}"]
    assert other[8:10] == ["0.0", "0.0"]


def test_a_comparison_names_a_folder_without_networks(tmp_path):
    with pytest.raises(ValueError, match=r"records holds no record of a finished network"):
        tables.comparison([tmp_path])
