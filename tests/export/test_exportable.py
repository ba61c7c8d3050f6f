"""Networks to export, from packs and from working directories."""

import numpy as np
import pytest

from export import exportable
from tailor_tf.method.task_pack import load_task_pack
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError
from tests.builders import images
from tests.bundle import bundle_packs


def test_of_a_task_pack(small, rng, tmp_path):
    pack = bundle_packs.write(tmp_path, small)["birds"]
    found = exportable.from_task_pack(pack, small)
    task = load_task_pack(pack, small)
    assert (found.info, found.teacher) == (task.info, None)
    x = images(small.graph, rng)
    expected = task.student.model(x, training=False)["logits"]
    np.testing.assert_allclose(found.network(x, training=False), expected, rtol=1e-5, atol=1e-5)


def test_of_a_run_that_is_not_finished(small, tmp_path):
    with pytest.raises(TailorError, match=r"teacher\.json does not exist: the teacher phase"):
        exportable.from_run(Workdir(tmp_path), small)


def test_of_a_finished_run_whose_pack_is_gone(small, tmp_path, monkeypatch):
    monkeypatch.setattr(exportable.outcome, "load", lambda workdir: None)
    with pytest.raises(TailorError, match=r"task_pack\.safetensors is gone; the command"):
        exportable.from_run(Workdir(tmp_path), small)
