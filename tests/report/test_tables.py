"""Tables of a run and of several runs against figures computed by hand."""

import dataclasses
import re

import pytest

from tailor_tf.records import phase as phases
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import LatencyRecord, RunRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import tables
from tests.report import builders
from tests.report.builders import CHOSEN, row


def test_rows_hold_the_figures_of_the_records(made):
    text = tables.table(made.outcome())
    assert row(text, "teacher")[1:] == (
        ["97.00", "96.00", "0.0510", "0.0515", "1.00", "4 of 4", "0", "1,234"]
    )
    assert row(text, "student")[1:] == (
        # 4 layers, 2 proxies each but for the first, which has the stem alone behind it
        ["97.50", "-", "0.0600", "0.0123", "1.10", "4 of 4", str(1 + 3 * 2), "1,234"]
    )
    assert row(text, "pruned")[1:3] == ["50.00", "-"]
    assert row(text, "fine-tuned")[1:] == (
        ["96.75", "96.25", "0.0306", "0.00234", "0.580", "2 of 4", "2", "1,234"]
    )


def test_columns_are_aligned_and_name_their_units(made):
    lines = [line for line in tables.table(made.outcome()).splitlines() if line.startswith("|")]
    assert len(lines) == 1 + 1 + 4 + 1 + 1 + 3  # header, rule, phases; header, rule, levels
    for table in (lines[:6], lines[6:]):
        bars = [[i for i, letter in enumerate(line) if letter == "|"] for line in table]
        assert all(places == bars[0] for places in bars)
    for column in ("validation (%)", "parameters (M)", "multiply-adds (M)", "seconds"):
        assert column in lines[0]


def test_text_around_the_table(made):
    text = tables.table(made.outcome())
    first, *_ = text.splitlines()
    assert "digits" in first and "tiny" in first
    assert "51.0 k parameters, 1.00 M multiply-adds" in first
    assert "-0.25 points on validation, +0.25 points on test" in text  # 96.75-97.00, 96.25-96.00
    assert "42.0 % fewer multiply-adds" in text  # 1 - 580_000 / 1_000_000
    assert "40.0 % fewer parameters" in text  # 1 - 30_600 / 51_000
    assert "; within the tolerance of 0.5 points" in text
    # the root of 0.9636 * 0.0364 / 240, where 0.9636 is one more of 0.9675 * 240, of 242
    assert "error of the difference on its 240 images: 1.21 points)" in text
    assert "The levels tried took 3.0 times the epochs of fine-tuning one." in text


def test_the_accuracy_to_expect_on_other_images(made):
    assert "to be expected" not in tables.verdict(made.outcome())
    made.change_selection(expected_difference=-0.0123)
    assert "On other images, -1.23 points are to be expected." in tables.verdict(made.outcome())


@pytest.mark.parametrize(
    ("tolerance", "number"),
    [
        # 0.25 points behind; a confidence of 84.13 % is one standard error, 1.21 points:
        (0.5, "about 5,600"),  # 240 * (1.21 / 0.25)^2
        (1.0, "about 620"),  # 240 * (1.21 / 0.75)^2
        (0.25, "no number of them"),
        (1.5, None),  # 0.25 + 1.21 is within
    ],
)
def test_how_many_images_it_would_take(made, tolerance, number):
    made.change_run(tolerance=tolerance, confidence=0.8413447)
    text = tables.verdict(made.outcome())
    asked = f"too few to show it with a confidence of 84.1345 %: it would take {number})"
    assert (asked in text) if number else ("too few" not in text)


def test_a_standard_error_below_the_tolerance_is_only_stated(made):
    made.change_run(tolerance=2.0)
    assert "1.21 points)" in tables.verdict(made.outcome())


def test_without_a_tolerance_the_budget_is_the_goal(made):
    made.change_run(tolerance=None, budget={"multiply_adds": 590_000})
    assert "; the most accurate one tried within the budget." in tables.verdict(made.outcome())


def test_levels_that_were_tried(made):
    text = tables.table(made.outcome())
    # 600_000 - 10_000 multiply-adds a block; the chosen one is more accurate and leaner than 1
    assert row(text, "3")[1:3] == ["90.00", "-"] and row(text, "3")[5] == "0.570"
    assert row(text, "2")[1:3] == ["96.75", "96.25"] and row(text, "2")[-1] == "chosen"
    assert row(text, "1")[1] == "92.00" and row(text, "1")[-1] == "dominated by 2"


def test_levels_that_were_trained_together_are_all_shown_before_fine_tuning(made):
    made.train_together()
    outcome = made.outcome()
    header, *rows = tables.level_rows(outcome)
    assert header[:4] == ["level", "before fine-tuning (%)", "validation (%)", "test (%)"]
    found = {name: figures[:3] for name, *figures in rows}
    assert list(found) == ["0", "1", "2", "3", "4"], "from the largest network to the leanest"
    assert found["0"] == ["95.00", "-", "-"] and found["4"] == ["91.00", "-", "-"]
    assert found["2"] == ["93.00", "96.75", "96.25"]
    assert [figures[-1] for _, *figures in rows] == ["", "dominated by 2", "chosen", "", ""]
    names = [name for name, *_ in tables.phase_rows(outcome)]
    assert names == ["", "teacher", "student", "sandwich", "pruned", "fine-tuned"]
    before = builders.finished().outcome().seconds
    more = 100 + 2 * 1234.4  # the training, and the prunings of two more levels
    assert outcome.seconds == pytest.approx(before + more), "what it took counts"


def test_a_level_that_was_given_up(made):
    made.change(phases.finetuned(Level(3)), stopped=True)
    assert row(tables.table(made.outcome()), "3")[-1] == "given up after 2 epochs"


def test_text_of_a_worse_and_larger_network_without_test_labels(made):
    made.change_selection(within_tolerance=False)
    made.change(phases.TEACHER, accuracy={"validation": 0.98})
    made.change_cost(phases.finetuned(CHOSEN), multiply_adds=1_050_000)
    text = tables.table(made.outcome())
    assert "on test" not in text
    assert "5.0 % more multiply-adds" in text
    # 98.00 - 96.75 = 1.25 points, of which 0.5 are tolerated
    assert "; by 0.75 points NOT within the tolerance of 0.5 points" in text


def test_latency_and_another_complexity(made):
    made.change_cost(phases.TEACHER, latency_ms=2.0)
    made.change_cost(phases.STUDENT, latency_ms=2.5)
    for blocks in (1, 2, 3):
        for kind in (phases.pruned, phases.finetuned):
            made.change_cost(kind(Level(blocks)), latency_ms=blocks / 10 + 0.5)
    made.change_run(complexity="latency_ms", budget={"latency_ms": 0.9})
    machine = {"runtime": "LiteRT 2", "precision": "int8", "threads": "1", "processor": "Some"}
    made.change_selection(latency=LatencyRecord(0.7, 0.731, machine))
    text = tables.table(made.outcome())
    assert row(text, "teacher")[6] == "2.00" and row(text, "fine-tuned")[6] == "0.700"
    assert "One image takes 0.731 ms, predicted were 0.700 ms (LiteRT 2, int8" in text
    # by latency level 1, at 0.6 ms, is leaner than level 2 and none is worse in both
    assert [row(text, level)[-1] for level in "321"] == ["dominated by 2", "chosen", ""]


@pytest.mark.parametrize(
    ("kept", "missing"),
    [
        ((phases.TEACHER,), "training the student"),
        ((phases.TEACHER, phases.STUDENT), "fine-tuning"),
    ],
)
def test_an_unfinished_run_says_which_phase_is_missing(made, kept, missing):
    made.keep(*kept)
    text = tables.table(made.outcome())
    assert f"The run is not finished: {missing} has not come to its end." in text


def test_accuracy_by_class(made):
    text = tables.classes(made.outcome())
    assert text.startswith("Accuracy by class on test images.")
    assert row(text, "one") == ["one", "8", "75.0", "75.0"]
    assert row(text, "two") == ["two", "4", "25.0", "25.0"]
    assert "| six" not in text  # no image of it
    assert row(text, "mean over classes")[1:] == ["12", "50.0", "50.0"]
    assert re.findall("^- (.*)$", text, re.MULTILINE) == [
        "two taken for one: 3",
        "one taken for two: 2",
    ]


def test_without_mistakes_there_are_no_confusions(made):
    right = ((0, 0, 8), (1, 1, 4))
    made.change(phases.finetuned(CHOSEN), confusion={"test": right})
    assert "confusions" not in tables.classes(made.outcome())


def _several_runs(folder):
    """Two seeds of one task, with a baseline in the first, and a run that only has a teacher."""
    whole = builders.cost(1_200_000, 52_000, 3_000)
    first, second, third = (builders.finished() for _ in range(3))
    linear = builders.phase_record({"validation": 0.8, "test": 0.7}, whole)
    first.phases[Phase("linear")] = linear
    second.change(phases.finetuned(CHOSEN), accuracy={"validation": 0.9875, "test": 0.9425})
    second.change_cost(phases.finetuned(CHOSEN), multiply_adds=480_000)
    third.keep(phases.TEACHER)
    third.change_settings(universal="f1")
    made = {"first": first, "second": second, "third": third}
    paths = {name: each.write(folder / name) for name, each in made.items()}
    return paths["first"], paths["second"], str(paths["second"]), paths["third"]


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


def test_an_accuracy_that_one_run_lacks_is_left_out(tmp_path, made):
    made.change(phases.TEACHER, accuracy={"validation": 0.97})
    folders = [made.write(tmp_path / "first"), builders.finished().write(tmp_path / "second")]
    text = tables.comparison(folders)
    assert row(text.replace("| digits ", ""), "finetune")[2:4] == ["97.00 (97.00 to 97.00)", "-"]


def test_reductions_need_a_record_of_the_whole_network(tmp_path, made):
    linear = builders.phase_record({"validation": 0.8}, builders.cost(1, 2, 3))
    made.keep()
    made.phases[Phase("linear")] = dataclasses.replace(linear, seconds=7.0)
    folder = made.write(tmp_path)
    Records(Workdir(folder)).path(RunRecord).unlink()
    text = tables.comparison([folder])
    assert row(text, "digits")[8:] == ["-", "-", "4", "7"]


def test_a_comparison_names_a_folder_without_networks(tmp_path):
    with pytest.raises(ValueError, match=r"records holds no record of a finished network"):
        tables.comparison([tmp_path])
