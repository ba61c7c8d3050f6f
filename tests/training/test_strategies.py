"""The same training on one device, on two, and on two hosts."""

import json
import os
import re
import socket
import subprocess
import sys

import pytest

from tailor_tf import load_task
from tailor_tf.data.batches import Share, training_batches
from tailor_tf.data.errors import DataError
from tests.programs import ROOT, in_fork
from tests.training import strategy_run


def _start(*arguments, config=None, module="tests.training.strategy_run"):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if config:
        environment["TF_CONFIG"] = json.dumps(config)
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process, timeout=400):
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors[-3000:]
    return output


def _result(process):
    return json.loads(_finish(process).splitlines()[-1])


def _cluster():
    """`TF_CONFIG` of two hosts that both are this one."""
    probes = [socket.socket() for _ in range(2)]
    for probe in probes:
        probe.bind(("localhost", 0))
    hosts = [f"localhost:{probe.getsockname()[1]}" for probe in probes]
    for probe in probes:
        probe.close()
    cluster = {"worker": hosts}
    return [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]


@pytest.fixture(scope="module")
def alone():
    return in_fork(strategy_run.trained, "default")


def _same(found, alone):
    for name in ("teacher", "student"):
        assert len(found[name]["losses"]) == 20
        assert found[name]["losses"] == pytest.approx(alone[name]["losses"], rel=1e-4)
        for total in ("weights", "statistics"):
            assert found[name][total] == pytest.approx(alone[name][total], rel=1e-4)


def test_two_devices_follow_one(alone):
    _same(in_fork(strategy_run.trained, "mirrored"), alone)


@pytest.mark.slow
def test_batch_norm_of_each_device_alone_is_something_else(alone):
    found = in_fork(strategy_run.trained, "mirrored", "nosync")
    assert found["teacher"]["losses"] != pytest.approx(alone["teacher"]["losses"], rel=1e-2)


@pytest.mark.slow
def test_two_hosts_follow_one(alone):
    processes = [_start("multi_worker", config=config) for config in _cluster()]
    for process in processes:
        _same(_result(process), alone)


QUICK = [
    "--universal=tiny_imagenet",
    "--teacher_epochs=3",
    "--student_epochs=2",
    "--sandwich_epochs=1",
    "--finetune_epochs=2",
    "--teacher_learning_rate=0.05",
    "--prune_blocks=4",
    "--tolerance=100",
    "--image_size=16",
]


def _accuracy(workdir):
    record = json.loads((workdir / "records" / "teacher.json").read_text())
    return record["accuracy"]["test"]


@pytest.mark.slow
def test_tailoring_on_two_devices(tmp_path):
    output = _finish(
        _start("tailor", "--strategy=mirrored", f"--workdir={tmp_path}", *QUICK), timeout=900
    )
    assert re.search(r"\| fine-tuned +\| +\d", output)
    assert _accuracy(tmp_path) > 0.8


@pytest.mark.slow
def test_tailoring_on_two_hosts_where_only_the_chief_writes(tmp_path):
    """Killed in the middle and started again it goes on on both."""
    workdir = tmp_path / "run"
    flags = ["--strategy=multi_worker", f"--workdir={workdir}", *QUICK]

    def start(until):
        return [
            _start(*flags, f"--until={until}", config=config, module="pipelines.tailor")
            for config in _cluster()
        ]

    for process in start("teacher"):
        _finish(process, timeout=900)
    outputs = [_finish(process, timeout=900) for process in start("finetune")]
    for output in outputs:
        phases = re.findall(r"^digits: (\w+)", output, re.MULTILINE)
        assert phases == ["student", "sandwich", "finetuned"]
    tables = {re.search(r"^\| fine-tuned.*?\|(.*?)\|", o, re.MULTILINE)[1] for o in outputs}
    assert len(tables) == 1, "the hosts ended with different networks"
    assert f"Everything is in {workdir};" in outputs[0]
    assert _accuracy(workdir) > 0.8
    assert list(tmp_path.iterdir()) == [workdir]


@pytest.mark.slow
def test_host_that_disappears_ends_the_others(tmp_path):
    flags = [f"--workdir={tmp_path / 'run'}", *QUICK, "--teacher_epochs=50", "--until=teacher"]
    chief, worker = (
        _start("--strategy=multi_worker", *flags, config=config, module="pipelines.tailor")
        for config in _cluster()
    )
    try:
        while "Epoch 2/" not in chief.stdout.readline():
            assert chief.poll() is None
        worker.kill()
        _, errors = chief.communicate(timeout=60)
    finally:
        for process in (chief, worker):
            process.kill()
    assert chief.returncode == 2
    assert "Error: another host is gone." in errors
    assert "Traceback" not in errors


def test_shares_are_the_slices_of_a_batch(digits_task):
    def epoch(share):
        options = {"batch_size": 32, "seed": 0, "epoch": 1, "skip": 3, "share": share}
        found = training_batches(digits_task.train, digits_task.preprocessing, **options)
        return [(images.numpy(), labels.numpy()) for images, labels in found]

    whole = epoch(Share())
    slices = [epoch(Share(4, first, 2)) for first in (0, 2)]
    assert [len(each) for each in slices] == [2 * len(whole)] * 2
    for place, (images, labels) in enumerate(whole):
        parts = [part for each in slices for part in each[2 * place : 2 * place + 2]]
        assert [len(part[1]) for part in parts] == [8] * 4
        assert labels.tolist() == [label for _, own in parts for label in own]
        joined = [image for own, _ in parts for image in own]
        assert (images == joined).all()
    with pytest.raises(DataError, match="batch_size is 32 and there are 5 replicas"):
        epoch(Share(5, 0, 1))


@pytest.fixture(scope="module")
def digits_task():
    return load_task("digits", image_size=16)
