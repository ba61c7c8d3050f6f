"""The program of bundles, from end to end and killed at any moment."""

import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tailor_tf import load_universal, save_universal
from tailor_tf.bundle_store import BundleStore
from tailor_tf.data import Preprocessing
from tailor_tf.task_pack import Tailored, save_task_pack
from tests.helpers import random_architecture, random_student
from tests.programs import ROOT, program

pytestmark = pytest.mark.slow
KILLS = 8  # each start takes seconds; tests/test_bundle_store.py kills more often


@pytest.fixture(scope="module")
def files(tiny, tmp_path_factory):
    """Paths of a universal network and of two packs over it."""
    folder = tmp_path_factory.mktemp("files")
    save_universal(folder / "universal.safetensors", tiny.graph, tiny.model)
    universal = load_universal(folder / "universal.safetensors")
    preprocessing = Preprocessing(16, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0)
    rng = np.random.default_rng(5)
    for name, classes in (("birds", ("crow", "owl")), ("signs", ("stop", "yield", "turn"))):
        architecture = random_architecture(universal.graph.num_blocks, rng, 3)
        student = random_student(universal, architecture, rng, len(classes))
        tailored = Tailored(name, classes, preprocessing, architecture, student, universal)
        save_task_pack(folder / f"{name}.safetensors", tailored)
    return folder


@pytest.fixture
def create(files, tmp_path):
    """Flags that name the bundle, and those that create it."""
    bundle = f"--bundle={tmp_path / 'bundle'}"
    universal = f"--universal={files / 'universal.safetensors'}"
    return bundle, ["create", bundle, universal, f"--task_pack={files / 'birds.safetensors'}"]


def test_every_verb(create, files, tmp_path):
    bundle, flags = create
    add = ["add", bundle, f"--task_pack={files / 'signs.safetensors'}"]
    for arguments, expected, output in (
        (flags, 0, r"bundle was created: 1 task, \d\.\d\d MB"),
        (flags, 2, "is a bundle already; add tasks to it"),
        (add, 0, "signs was added to .*: 2 tasks"),
        (add, 2, "has a task signs already"),
        ([*add, "--name=a/b"], 2, "'a/b' cannot be the name of a task"),
        ([*add, "--name=panels"], 0, "panels was added to .*: 3 tasks"),
        (["list", bundle], 0, r"\| birds +\| +2 \|.*\n\| signs +\| +3 \|.*\n\| panels +\| +3 \|"),
        (["remove", bundle], 2, "Expected --name, the task to remove"),
        (["remove", bundle, "--name=panels"], 0, "panels was removed from .*: 2 tasks"),
        (["remove", bundle, "--name=panels"], 2, "has no task 'panels'; it has birds, signs"),
        (["verify", bundle], 0, "bundle is whole: 2 tasks"),
    ):
        status, printed = program("bundle", *arguments)
        assert status == expected and re.search(output, printed), printed
        assert "Traceback" not in printed
    pack = BundleStore(tmp_path / "bundle").read().tasks["signs"].sha256
    (tmp_path / "bundle" / "packs" / f"{pack}.safetensors").write_bytes(b"x")
    status, printed = program("bundle", "verify", bundle)
    assert status == 2 and "is damaged: the task pack of signs was cut short" in printed, printed


def test_killed_at_random_moments(create, files, tmp_path):
    bundle, flags = create
    add = ["add", bundle, f"--task_pack={files / 'signs.safetensors'}"]
    remove = ["remove", bundle, "--name=signs"]
    assert program("bundle", *flags)[0] == 0
    duration = {}
    for verb in (add, remove):
        started = time.perf_counter()
        assert program("bundle", *verb)[0] == 0
        duration[verb[0]] = time.perf_counter() - started
    seed = time.time_ns()
    chance = random.Random(seed)
    store, ends = BundleStore(tmp_path / "bundle"), []
    for _ in range(KILLS):
        verb = remove if "signs" in store.read().tasks else add
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.bundle", *verb], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        # At work in the bundle in the last moments, when all is imported.
        time.sleep(chance.uniform(0.5, 1) * duration[verb[0]])
        process.send_signal(signal.SIGKILL)
        status = process.wait()
        ends.append((verb[0], status, len(store.verify().tasks)))
        assert store.verify().tasks.keys() - {"signs"} == {"birds"}
    print(f"seed {seed}: {ends}")
    assert sum(status == -signal.SIGKILL for _, status, _ in ends) >= KILLS // 2
