"""The program of bundles, from end to end and killed at any moment."""

import random
import re
import signal
import time

import numpy as np
import pytest

from tailor_tf import load_universal, save_universal
from tailor_tf.bundle.store import BundleStore
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.task_pack import TailoredTask, save_task_pack
from tests.builders import random_architecture, random_student
from tests.programs import program, started

pytestmark = pytest.mark.slow
KILLS = 40  # twenty of each verb or so


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
        task = TailoredTask(TaskInfo(name, classes, preprocessing), student)
        save_task_pack(folder / f"{name}.safetensors", task)
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
        begun = time.perf_counter()
        assert program("bundle", *verb)[0] == 0
        duration[verb[0]] = time.perf_counter() - begun
    seed = time.time_ns()
    chance = random.Random(seed)
    store, ends = BundleStore(tmp_path / "bundle"), []
    for _ in range(KILLS):
        verb = remove if "signs" in store.read().tasks else add
        process = started("bundle", *verb)
        # The bundle is changed in the last moments; some kills come just after it.
        time.sleep(chance.uniform(0.6, 1.1) * duration[verb[0]])
        process.kill()
        process.join()
        tasks = store.verify().tasks
        ends.append((verb[0], process.exitcode, len(tasks)))
        assert tasks.keys() - {"signs"} == {"birds"}
    killed = [verb for verb, status, _ in ends if status == -signal.SIGKILL]
    changed = sum((verb == "add") == (count == 2) for verb, _, count in ends)
    print(f"seed {seed}: killed {len(killed)}, changed {changed}: {ends}")
    assert len(killed) >= KILLS // 4
