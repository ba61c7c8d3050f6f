"""The whole job on a tiny network and real digits: phases, restart, bad input."""

import base64
import dataclasses
import shutil
from types import MappingProxyType

import keras
import numpy as np
import pytest

from tailor_tf import Run, compact, load_task_pack, tailor
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.network import costs, counting, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.latencies import Latencies
from tailor_tf.records.same_settings import SettingsChangedError
from tailor_tf.training import loop
from tests.tailoring.quick import QUICK, SETTINGS, record


def test_every_phase_leaves_its_files(finished):
    workdir, result = finished
    for name in ("teacher", "student", "pruned_2", "finetuned_2", "run"):
        assert record(workdir, name)
    assert (workdir / "task_pack.safetensors").exists()
    for picture in ("architecture.png", "architecture.svg", "history.png"):
        assert (workdir / "report" / picture).stat().st_size > 1000
    assert "fine-tuned" in result.table


def test_recorded_accuracy_is_that_of_the_saved_pack(finished, universal, digits):
    workdir, _ = finished
    tailored = load_task_pack(workdir / "task_pack.safetensors", universal)
    batches = evaluation_batches(digits.test, tailored.info.preprocessing, batch_size=100)
    plain = compact(tailored.student)
    hits = [plain(images).numpy().argmax(-1) == labels.numpy() for images, labels in batches]
    found = record(workdir, "finetuned_2")
    assert np.concatenate(hits).mean() == pytest.approx(found["accuracy"]["test"])
    assert found["mistakes"]["test"] == np.flatnonzero(~np.concatenate(hits)).tolist()


def test_recorded_costs_are_those_of_the_compacted_network(finished, universal):
    workdir, result = finished
    tailored = result.tailored
    plain = compact(tailored.student)
    cost = record(workdir, "finetuned_2")["cost"]
    assert cost["multiply_adds"] == counting.multiply_adds(plain)
    assert cost["parameters"] == counting.parameters(plain) + len(
        tailored.student.architecture.paths
    )
    assert cost["universal_blocks"] <= 4 - 2


def test_finished_phases_are_read_and_not_run(finished, universal, digits, monkeypatch):
    workdir, result = finished
    monkeypatch.setattr(
        loop.Trainer, "fit", lambda *args, **kwargs: pytest.fail("a finished phase ran again")
    )
    again = tailor(universal, digits, workdir, SETTINGS)
    images = next(iter(evaluation_batches(digits.test, digits.preprocessing, batch_size=8)))[0]
    one, two = (r.tailored.student.model(images, training=False)["logits"] for r in (result, again))
    np.testing.assert_array_equal(one, two)


def test_weights_that_are_gone_are_missed(universal, digits, tmp_path):
    Run(universal, digits, tmp_path, SETTINGS).run("teacher")
    (tmp_path / "checkpoints" / "teacher.safetensors").unlink()
    with pytest.raises(ValueError, match=r"teacher.json says .*teacher.safetensors, are gone"):
        Run(universal, digits, tmp_path, SETTINGS).run("teacher")


def test_other_settings_are_refused(finished, universal, digits):
    workdir, _ = finished
    changed = dataclasses.replace(SETTINGS, teacher_weight=2.0)
    with pytest.raises(SettingsChangedError, match=r"teacher_weight was 0.2 and is 2.0"):
        tailor(universal, digits, workdir, changed)
    assert record(workdir, "finetuned_2")


@pytest.mark.slow
def test_redo_forgets_later_phases_only(universal, digits, tmp_path):
    run = Run(universal, digits, tmp_path, SETTINGS)
    run.run("prune")
    assert record(tmp_path, "pruned_2")
    assert not (tmp_path / "records" / "finetuned_2.json").exists()
    run.forget("student")
    assert record(tmp_path, "teacher")
    assert not (tmp_path / "records" / "student.json").exists()
    assert not (tmp_path / "records" / "pruned_2.json").exists()


def test_diverging_training_keeps_the_last_good_state(universal, digits, tmp_path):
    class Diverge(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.get_layer("classifier").bias.assign(np.full(10, np.nan))

    settings = dataclasses.replace(SETTINGS, teacher=dataclasses.replace(QUICK, epochs=2))
    with pytest.raises(loop.NonFiniteLossError, match=r"nan at step 19 with learning rate 0.05"):
        tailor(universal, digits, tmp_path, settings, callbacks=lambda phase: [Diverge()])
    tensors, metadata = weights.read(tmp_path / "checkpoints" / "teacher.safetensors")
    assert len(metadata["history"]) == 1
    assert all(np.isfinite(value).all() for value in tensors.values())


@pytest.mark.slow  # tests/training/test_loop.py stops a small network after every step
def test_interrupted_training_ends_in_the_same_weights(universal, digits, tmp_path):
    """Killed after its first epoch and started again, a phase ends as if nothing had happened."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    recipe = dataclasses.replace(QUICK, epochs=2)
    settings = dataclasses.replace(SETTINGS, teacher=recipe)

    def teacher(workdir, **options):
        return Run(universal, digits, workdir, settings, **options).prepare().teacher()

    straight = teacher(tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        teacher(tmp_path / "cut", callbacks=lambda phase: [Stop()])
    resumed = teacher(tmp_path / "cut")
    for key, value in weights.arrays(straight).items():
        np.testing.assert_allclose(weights.arrays(resumed)[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"prune_blocks": (5,)}, "Cannot remove 5 universal blocks; expected 0 to 4"),
        ({"max_skip": 0}, "max_skip is 0"),
    ],
)
def test_settings_that_make_no_sense(universal, digits, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        Run(universal, digits, tmp_path, dataclasses.replace(SETTINGS, **change))


def test_unknown_phase(universal, digits, tmp_path):
    with pytest.raises(
        ValueError, match="Unknown phase 'prine'; known are depth, teacher, student"
    ):
        Run(universal, digits, tmp_path, SETTINGS).run("prine")


class _Meter:
    """Says that a thousand multiply-adds take a millisecond, and any whole network three."""

    measured_on = MappingProxyType(
        {"processor": "abacus", "runtime": "by hand", "precision": "int8", "threads": "1"}
    )

    def __init__(self, graph):
        full = Architecture.full(graph.num_blocks, 3)
        paths = {path.name: costs.path_multiply_adds(graph, path) / 1e3 for path in full.paths}
        sums = {f"block{layer}_sum": 0.0 for layer in full.layers}
        exits = {f"exit{node}": 0.0 for node in full.layers[:-1]}
        pieces = {"stem": 0.1, "head": 0.1, **paths, **sums, **exits}
        network = sum(pieces[name] for name in pieces if "_" not in name)
        self.found = Latencies(pieces, network, 0.0, graph.num_blocks, dict(self.measured_on))

    def latencies(self):
        return self.found

    def measure(self, network):
        return 3.0


@pytest.mark.slow
def test_a_latency_is_a_budget_and_what_complexity_counts(finished, universal, digits, tmp_path):
    workdir, meter = tmp_path / "run", _Meter(universal.graph)
    for folder in ("records", "checkpoints"):
        (workdir / folder).mkdir(parents=True)
        for path in (finished[0] / folder).glob("teacher*"):
            shutil.copy(path, workdir / folder)
    most = 0.5 * meter.found.network
    changes = {"prune_blocks": None, "complexity": "latency_ms", "complexity_weight": None}
    budget = {"latency_ms": most}
    settings = dataclasses.replace(SETTINGS, **changes, budget=budget, estimator=None)
    with pytest.raises(ValueError, match="Latency is asked for and nothing is there to measure"):
        Run(universal, digits, workdir, settings)
    result = Run(universal, digits, workdir, settings, meter=meter).run()
    selection, student = record(workdir, "selection"), record(workdir, "student")
    chosen = record(workdir, f"finetuned_{selection['chosen']}")["cost"]["latency_ms"]
    assert chosen <= most
    assert chosen == pytest.approx(meter.found.student(result.tailored.student.architecture))
    assert selection["latency"]["predicted_ms"] == chosen
    assert selection["latency"]["measured_ms"] == 3.0
    assert record(workdir, "teacher")["cost"]["latency_ms"] == meter.found.network
    assert "by hand, int8" in result.table and "predicted latency (ms)" in result.table
    # What the budget leaves to the paths, as a share of stem and blocks.
    target = (most - 0.2) / (meter.found.network - 0.1)
    assert student["settings"]["complexity_target"] == pytest.approx(target)
    assert student["settings"]["estimator"] == "reachability"
    assert student["history"][-1]["complexity_weight"] != 0.3
    gates = [gate for *_, gate in student["gates"]]
    assert student["history"][-1]["gates"] == pytest.approx(gates, abs=1e-4)
    shown = record(workdir, "examples")
    assert [label for label, _ in shown["classes"]] == list(range(10))
    assert base64.b64decode(shown["classes"][0][1]).startswith(b"\x89PNG")
    for true, other, _ in shown["confusions"]:
        assert true != other
