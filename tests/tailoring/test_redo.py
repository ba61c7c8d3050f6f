"""Phases that are run again, also if the images changed since the depth was found."""

import pytest

from tailor_tf.network.cost import Cost
from tailor_tf.records import phase as names
from tailor_tf.records.records import PhaseRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError
from tailor_tf.tailoring.redo import kinds_to_forget

PROBES = [names.probe(4), names.probe(8)]
LATER = ("teacher", "student", "pruned", "finetuned")


def settings(letters: str) -> dict:
    return {"fingerprint": {"train": {"no": letters}}}


@pytest.fixture
def records(tmp_path):
    """Records of a run whose depth was found with the images "old"."""
    found = Records(Workdir(tmp_path))
    for phase in PROBES[1:]:
        record = PhaseRecord(0.0, {}, {}, COST, None, {}, settings("old"))
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
        ("finetune", "new", LATER[3:]),
        ("linear", "new", ("linear",)),
    ],
)
def test_kinds(records, stage, letters, kinds):
    now = dict.fromkeys(PROBES, settings(letters))
    assert tuple(kinds_to_forget(stage, records, now)) == kinds


def test_unknown_stage(records):
    with pytest.raises(TailorError, match="Unknown phase 'techer'"):
        kinds_to_forget("techer", records, {})
