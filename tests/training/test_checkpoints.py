"""Checkpoints that a disk damaged: the state before is taken, or nothing is."""

import numpy as np
import pytest

from tailor_tf.network import weights
from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import FileKindError
from tailor_tf.training.checkpoints import Checkpoints
from tests.support import kinds


@pytest.fixture
def checkpoints(tmp_path):
    """A newest state and the one before it."""
    checkpoints = Checkpoints(tmp_path / "teacher.safetensors")
    for step in (1, 2):
        tensors = {"kernel": np.full((3, 4), step, "f4"), "steps": np.array([2**60 + step], "i8")}
        checkpoints.save(tensors, {"history": [], "step": step}, best=step == 1)
    return checkpoints


def damage(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def step_of(checkpoints):
    tensors, metadata = checkpoints.read()
    assert checkpoints.read_metadata() == metadata
    assert tensors["kernel"][0, 0] == metadata["step"] == tensors["steps"][0] - 2**60
    return metadata["step"]


def test_whole_ones(checkpoints):
    assert step_of(checkpoints) == 2


@pytest.mark.parametrize("place", [-1, -8, -20])
def test_damaged_newest_one(checkpoints, place):
    damage(checkpoints.newest, place)
    assert step_of(checkpoints) == 1


def test_both_damaged(checkpoints):
    damage(checkpoints.newest)
    damage(checkpoints.previous)
    for read in (checkpoints.read, checkpoints.read_metadata):
        with pytest.raises(TailorError, match=r"No state of .* can be read; delete .*was altered"):
            read()


def test_states_of_programs_that_wrote_no_checksum(checkpoints):
    tensors, metadata = weights.read(checkpoints.newest)
    del metadata["checksum"]
    weights.write(checkpoints.newest, tensors, metadata)
    assert step_of(checkpoints) == 2


@pytest.mark.parametrize("make", [kinds.link, *kinds.SPECIAL])
def test_what_is_no_file(checkpoints, make, tmp_path):
    (tmp_path / "outside").mkdir()
    checkpoints.newest.unlink()
    make(checkpoints.newest, tmp_path / "outside")
    with pytest.raises(FileKindError, match=r"teacher.safetensors is a .*expected a regular file"):
        checkpoints.read()
