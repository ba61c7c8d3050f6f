"""The depth of a run's networks: which one is chosen, and runs that end there."""

import dataclasses

import pytest

from tailor_tf import Run
from tailor_tf.network.architecture import Architecture
from tailor_tf.records.same_settings import SettingsChangedError
from tailor_tf.tailoring.depth_search import shortest_within
from tests.tailoring.quick import SETTINGS, record

AUTOMATIC = dataclasses.replace(SETTINGS, prune_blocks=None, depth="auto")

# Accuracy by depth; 400 images have a standard error of about 0.015 near 0.9.
RISING = {16: 0.90, 15: 0.89, 11: 0.86, 8: 0.70, 5: 0.60}
FLAT = {16: 0.90, 15: 0.897, 11: 0.91, 8: 0.907, 5: 0.70, 3: 0.95}
LATE = {16: 0.80, 15: 0.85, 11: 0.90}


@pytest.mark.parametrize(
    ("accuracies", "tolerance", "chosen", "tried"),
    [
        (RISING, 0.005, 16, [16, 15, 11]),
        (RISING, 0.01, 15, [16, 15, 11]),
        (RISING, 0.05, 11, [16, 15, 11, 8]),
        (FLAT, 0.005, 8, [16, 15, 11, 8, 5]),
        (FLAT, 0.0, 11, [16, 15, 11, 8, 5]),
        (LATE, 0.005, 11, [16, 15, 11]),
    ],
)
def test_the_shortest_network_near_the_best_one(accuracies, tolerance, chosen, tried):
    asked = []

    def accuracy(depth):
        asked.append(depth)
        return accuracies[depth]

    found = shortest_within(sorted(accuracies), accuracy, tolerance=tolerance, images=400)
    assert found == chosen
    assert asked == tried


def test_teacher_and_student_end_where_short_trainings_say(universal, digits, tmp_path):
    """With a tolerance of 100 points, all depths are tried and the smallest one is taken."""
    run = Run(universal, digits, tmp_path, AUTOMATIC)
    run.check()
    run.run("student")
    ends = universal.graph.stage_ends
    assert {f"probe_{depth}" for depth in ends} <= {p.stem for p in tmp_path.glob("records/*")}
    student = Architecture.from_dict(record(tmp_path, "student")["architecture"])
    assert student.depth == ends[0] == record(tmp_path, "teacher")["cost"]["universal_blocks"]
    again = Run(universal, digits, tmp_path, AUTOMATIC)
    again.check()
    assert again.prepare().costs.full == student, "known from the records"


def test_a_given_depth_needs_no_short_trainings(universal, digits, tmp_path):
    settings = dataclasses.replace(AUTOMATIC, depth=2)
    Run(universal, digits, tmp_path, settings).run("teacher")
    assert not list(tmp_path.glob("records/probe*"))
    assert record(tmp_path, "teacher")["cost"]["universal_blocks"] == 2
    with pytest.raises(SettingsChangedError, match="depth"):
        Run(universal, digits, tmp_path, dataclasses.replace(settings, depth=3)).check()


def test_truncated_networks(universal, digits, tmp_path):
    for depth in (2, 3):
        settings = dataclasses.replace(AUTOMATIC, depth=depth)
        Run(universal, digits, tmp_path, settings).baseline("truncate")
    costs_of = {n: record(tmp_path, f"truncate_{n}")["cost"]["multiply_adds"] for n in (2, 3)}
    budget = {"multiply_adds": costs_of[3] + 1}
    settings = dataclasses.replace(AUTOMATIC, budget=budget, tolerance=None)
    run = Run(universal, digits, tmp_path, settings)
    assert run.baseline_phase("truncate").name == "truncate_3", "the largest within the budget"
    assert costs_of[2] < costs_of[3] < record(tmp_path, "run")["universal"]["multiply_adds"]
    assert "test" in record(tmp_path, "truncate_2")["accuracy"]
