"""A run that is killed again and again ends in the bits of one that nothing disturbed."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from tailor_tf import backbones, save_universal
from tailor_tf.network import weights
from tailor_tf.network.graph import build_network
from tests.builders import randomise
from tests.programs import ROOT

pytestmark = pytest.mark.slow
KILLS = 10  # at least
MOST = (("step", 8), ("write", 8), ("between", 8), ("record", 1))  # how far a start may come


@pytest.fixture(scope="module")
def universal(tmp_path_factory):
    path = tmp_path_factory.mktemp("universal") / "universal.safetensors"
    graph = backbones.create("wide_resnet26", image_size=16, width=0.125)
    save_universal(path, graph, randomise(build_network(graph, 10), np.random.default_rng(0)))
    return path


def start(workdir, universal, *kill):
    command = [
        sys.executable,
        "-m",
        "tests.tailoring.killed_run",
        str(workdir),
        str(universal),
        *kill,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_killed_anywhere_it_ends_in_the_same_bits(universal, tmp_path):
    straight = start(tmp_path / "straight", universal)
    assert straight.returncode == 0, straight.stderr
    random = np.random.default_rng(0)
    killed, phases = 0, set()
    for _ in range(6 * KILLS):
        kind, most = MOST[random.integers(len(MOST))]
        done = start(tmp_path / "cut", universal, kind, str(random.integers(1, most + 1)))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
        phases |= {file.name.split(".")[0] for file in (tmp_path / "cut").glob("checkpoints/*")}
    else:
        pytest.fail("it never came to its end")
    assert killed >= KILLS and phases >= {"teacher", "student", "sandwich", "finetuned_6"}
    one, other = (tmp_path / name / "task_pack.safetensors" for name in ("straight", "cut"))
    assert one.read_bytes() == other.read_bytes()
    for name in ("teacher", "student", "sandwich", "finetuned_6"):
        states = [
            weights.read(tmp_path / run / "checkpoints" / f"{name}.safetensors")[0]
            for run in ("straight", "cut")
        ]
        assert states[0].keys() == states[1].keys()
        for key, value in states[0].items():
            np.testing.assert_array_equal(value, states[1][key])
