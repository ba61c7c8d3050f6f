"""Phases that are run again, also if the images changed since the depth was found."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tailor_tf import Run, load_task
from tailor_tf.network.cost import Cost
from tailor_tf.records import phase as names
from tailor_tf.records.records import PhaseRecord
from tailor_tf.records.same_settings import SettingsChangedError
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError
from tailor_tf.tailoring.phase_settings import PhaseSettings
from tailor_tf.tailoring.redo import kinds_to_forget
from tests.tailoring.quick import QUICK, SETTINGS

PROBES = [names.probe(4), names.probe(8)]
LATER = ("teacher", "student", "sandwich", "pruned", "finetuned")


def settings(letters: str) -> dict:
    task = {"task": "letters", "universal": "f0", "classes": ["no", "yes"]}
    return {**task, "fingerprint": {"train": {"no": letters}}}


@pytest.fixture
def records(tmp_path):
    """Records of a run whose depth was found with the images "old"."""
    found = Records(Workdir(tmp_path))
    for phase in PROBES[1:]:
        record = PhaseRecord(0.0, {"validation": 0.5}, {}, COST, None, {}, settings("old"))
        found.write_phase(phase, record)
    return found


COST = Cost(multiply_adds=1, parameters=1, task_parameters=1, universal_blocks=1, proxies=1)


@pytest.mark.parametrize(
    ("stage", "letters", "kinds"),
    [
        ("teacher", "old", LATER),
        ("teacher", "new", ("probe", *LATER)),
        ("depth", "new", ("probe", *LATER)),
        ("student", "new", LATER[1:]),
        ("sandwich", "new", LATER[2:]),
        ("finetune", "new", LATER[4:]),
        ("linear", "new", ("linear",)),
    ],
)
def test_kinds(records, stage, letters, kinds):
    now = dict.fromkeys(PROBES, settings(letters))
    assert tuple(kinds_to_forget(stage, records, now)) == kinds


def test_unknown_stage(records):
    with pytest.raises(TailorError, match="Unknown phase 'techer'"):
        kinds_to_forget("techer", records, {})


@pytest.fixture
def images(tmp_path):
    """A folder of two classes with five images of random pixels each."""
    for seed, path in enumerate(tmp_path / f"images/{c}/{i}.png" for c in NAMES for i in range(5)):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path / "images"


NAMES = ("no", "yes")
AUTOMATIC = dataclasses.replace(SETTINGS, prune_blocks=None, depth="auto")
SMALL = dataclasses.replace(QUICK, batch_size=2)


def test_a_label_that_is_corrected_is_noticed(tiny, images, tmp_path):
    """Two images exchange their classes, under the same names."""
    wanted = dataclasses.replace(AUTOMATIC, teacher=SMALL, student=SMALL, finetune=SMALL)
    workdir = Workdir(tmp_path / "run")

    def begun():
        task = load_task(f"folder:{images}", image_size=16)
        return task, Run(tiny, task, workdir.path, wanted)

    task, run = begun()
    for phase in (names.TEACHER, names.probe(12)):
        settings = PhaseSettings(tiny, task, wanted).of(phase)
        done = PhaseRecord(0.0, {"validation": 0.5}, {}, COST, None, {}, settings)
        run.records.write_phase(phase, done)
    run.check()
    one, other = (images / name / "3.png" for name in NAMES)
    contents = one.read_bytes(), other.read_bytes()
    other.write_bytes(contents[0])
    one.write_bytes(contents[1])
    _, run = begun()
    with pytest.raises(
        SettingsChangedError, match=r"images of train changed, of the classes no, yes.*=teacher"
    ):
        run.check()
    run.check(redo="teacher")
    run.forget("teacher")
    assert workdir.phases() == []
    run.check()
