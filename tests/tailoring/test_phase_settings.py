"""Every setting of a run belongs to the phases whose result depends on it."""

import dataclasses

import numpy as np
import pytest

from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.records import phase as names
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.tailoring.phase_settings import PhaseSettings
from tailor_tf.tailoring.settings import Settings
from tailor_tf.training.recipe import Recipe

PHASES = {
    "teacher": names.TEACHER,
    "student": names.STUDENT,
    "sandwich": names.SANDWICH,
    "pruned": names.pruned(Level(1)),
    "finetuned": names.finetuned(Level(1)),
    "baseline": Phase("linear"),
}
ALL = set(PHASES)
FROM_SANDWICH = {"sandwich", "pruned", "finetuned"}
FROM_STUDENT = {"student", *FROM_SANDWICH}
FROM_TEACHER = {"teacher", *FROM_STUDENT}

# Another value of each setting, and the phases whose result may change with it. Those of the
# search alone change no phase: a level is the same whoever asks for it.
FIELDS = {
    "teacher": (Recipe(7), FROM_TEACHER),
    "student": (Recipe(7), FROM_TEACHER),  # the depth, which the teacher has, depends on it
    "sandwich": (Recipe(7), FROM_SANDWICH),
    "finetune": (Recipe(7), {"finetuned"}),
    "baseline": (Recipe(7), {"baseline"}),
    "max_skip": (2, FROM_STUDENT),
    "depth": (2, FROM_TEACHER),
    "identities": (False, FROM_STUDENT),
    "own": ("affine", FROM_TEACHER),
    "own_head": (False, FROM_TEACHER),
    "complexity": ("parameters", FROM_STUDENT),
    "complexity_weight": (0.7, FROM_STUDENT),
    "teacher_weight": (7.0, FROM_STUDENT),
    "teacher_gradient": ("local", FROM_STUDENT),
    "node_errors": ("absolute", FROM_STUDENT),
    "logit_errors": ("squared", FROM_STUDENT),
    "estimator": ("reachability", FROM_STUDENT),
    "proxy_threshold": (0.07, FROM_SANDWICH),
    "training": ("separate", {"pruned", "finetuned"}),
    "ranking": ("gates", FROM_SANDWICH),
    "seed": (7, ALL),
    "prune_blocks": ((1,), FROM_TEACHER),  # of the whole network, see `depth`
    "tolerance": (0.7, set()),
    "confidence": (0.9, set()),
    "undecided": ("accurate", set()),
    "test_levels": (True, set()),
    "budget": ({"parameters": 1e6}, set()),
}


@pytest.fixture(scope="module")
def task():
    split = Split("train", np.zeros(4, np.int32), np.zeros((4, 8, 8, 3), np.uint8))
    preprocessing = Preprocessing(8, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=1)
    return Task(TaskInfo("zeros", ("a", "b"), preprocessing), split, split, None)


def of_phases(universal, task, settings, **further):
    found = PhaseSettings(universal, task, settings, **further)
    return {name: found.of(phase) for name, phase in PHASES.items()}


def test_no_setting_is_left_out_here():
    assert set(FIELDS) == {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize("field", FIELDS)
def test_a_setting_belongs_to_the_phases_that_depend_on_it(small, task, field):
    value, expected = FIELDS[field]
    before = of_phases(small, task, Settings())
    after = of_phases(small, task, dataclasses.replace(Settings(), **{field: value}))
    assert {name for name in PHASES if before[name] != after[name]} == expected


def test_runs_of_earlier_versions_were_the_papers(small, task):
    papers = {
        "node_errors": "absolute",
        "logit_errors": "squared",
        "identities": False,
        "own": "statistics",
        "own_head": False,
        "depth": "all",
        "ranking": "gates",
        "training": "separate",
    }
    before = of_phases(small, task, dataclasses.replace(Settings(), **papers))
    newer = papers.keys() | {"sandwich"}
    earlier = [name for name in PHASES if name != "sandwich"]
    assert not [name for name in earlier if newer & before[name].keys()]


def test_targets_and_machines_of_the_student(small, task):
    settings = Settings(complexity="latency_ms", complexity_weight=None, budget={"latency_ms": 1.0})
    before = of_phases(small, task, settings, complexity_target=0.5, measured_on={"processor": "a"})
    for change in ({"complexity_target": 0.4}, {"measured_on": {"processor": "b"}}):
        options = {"complexity_target": 0.5, "measured_on": {"processor": "a"}} | change
        after = of_phases(small, task, settings, **options)
        assert {name for name in PHASES if before[name] != after[name]} == FROM_STUDENT


def test_other_images_are_another_run(small, task):
    smaller = dataclasses.replace(task, validation=task.validation.select(np.arange(2), "train"))
    renamed = dataclasses.replace(task, info=dataclasses.replace(task.info, classes=("a", "c")))
    for other in (smaller, renamed):
        before, after = (of_phases(small, each, Settings()) for each in (task, other))
        assert all(before[name] != after[name] for name in PHASES)
