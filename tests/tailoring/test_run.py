"""The whole job on a tiny network and real digits: phases, restart, bad input."""

import base64
import dataclasses
import shutil
from types import MappingProxyType

import keras
import numpy as np
import pytest

from tailor_tf import Run, Universal, backbones, compact, load_task_pack, tailor
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.method.levels import BLOCKS_TRIED
from tailor_tf.network import costs, counting, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import build_network
from tailor_tf.network.latencies import Latencies
from tailor_tf.records.same_settings import SettingsChangedError
from tailor_tf.training import loop
from tests.builders import randomise
from tests.tailoring.quick import QUICK, SETTINGS, record


@pytest.fixture(scope="module")
def universal():
    graph = backbones.create("wide_resnet26", image_size=16, width=0.125)
    model = build_network(graph, 10)
    randomise(model, np.random.default_rng(0))
    model.trainable = False
    return Universal(graph, model)


@pytest.fixture(scope="module")
def finished(universal, digits, tmp_path_factory):
    """A finished run: its working directory and result."""
    workdir = tmp_path_factory.mktemp("run")
    before = weights.fingerprint(universal.model)
    result = tailor(universal, digits, workdir, SETTINGS)
    assert weights.fingerprint(universal.model) == before, "the universal network was changed"
    return workdir, result


def test_every_phase_leaves_its_files(finished):
    workdir, result = finished
    for name in ("teacher", "student", "pruned_6", "finetuned_6", "run"):
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
    found = record(workdir, "finetuned_6")
    assert np.concatenate(hits).mean() == pytest.approx(found["accuracy"]["test"])
    assert found["mistakes"]["test"] == np.flatnonzero(~np.concatenate(hits)).tolist()


def test_recorded_costs_are_those_of_the_compacted_network(finished, universal):
    workdir, result = finished
    tailored = result.tailored
    plain = compact(tailored.student)
    cost = record(workdir, "finetuned_6")["cost"]
    assert cost["multiply_adds"] == counting.multiply_adds(plain)
    assert cost["parameters"] == counting.parameters(plain) + len(
        tailored.student.architecture.paths
    )
    assert cost["universal_blocks"] <= 12 - 6


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
    assert record(workdir, "finetuned_6")


@pytest.mark.slow
def test_redo_forgets_later_phases_only(universal, digits, tmp_path):
    run = Run(universal, digits, tmp_path, SETTINGS)
    run.run("prune")
    assert record(tmp_path, "pruned_6")
    assert not (tmp_path / "records" / "finetuned_6.json").exists()
    run.forget("student")
    assert record(tmp_path, "teacher")
    assert not (tmp_path / "records" / "student.json").exists()
    assert not (tmp_path / "records" / "pruned_6.json").exists()


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


class TestDivergingLevels:
    """The loss of the first trainings of levels does not stay finite."""

    settings = dataclasses.replace(SETTINGS, prune_blocks=(9, 7))

    @pytest.fixture
    def workdir(self, finished, tmp_path):
        return shutil.copytree(finished[0], tmp_path / "run")

    @staticmethod
    def diverging(trainings):
        """Callbacks that break the weights at the start of that many trainings."""
        left = list(range(trainings))

        def break_weights(epoch, logs):
            if left:
                left.pop()
                callback.model.get_layer("classifier").bias.assign(np.full(10, np.nan))

        callback = keras.callbacks.LambdaCallback(on_epoch_begin=break_weights)
        return lambda phase: [callback]

    def test_it_is_tried_once_more_and_more_cautiously(self, universal, digits, workdir, capsys):
        tailor(universal, digits, workdir, self.settings, callbacks=self.diverging(1))
        assert "once more from the beginning" in capsys.readouterr().out
        assert record(workdir, "selection")["levels"] == ["9"]
        state = workdir / "checkpoints" / "finetuned_9.safetensors"
        recipe = weights.read_metadata(state)["recipe"]
        assert recipe["learning_rate"] == pytest.approx(QUICK.learning_rate / 3)
        assert recipe["clip_norm"] == 1

    def test_after_two_tries_it_has_failed_and_the_search_goes_on(self, universal, digits, workdir):
        result = tailor(universal, digits, workdir, self.settings, callbacks=self.diverging(2))
        assert record(workdir, "selection")["chosen"] == "7"
        assert "failed: The loss is nan at step" in result.table
        again = tailor(
            universal,
            digits,
            workdir,
            dataclasses.replace(self.settings, test_levels=True),
            callbacks=lambda phase: pytest.fail("trained again"),
        )
        assert again.table == result.table

    def test_without_a_level_that_has_not_failed_there_is_no_result(
        self, universal, digits, workdir
    ):
        with pytest.raises(loop.NonFiniteLossError, match="nan at step"):
            tailor(universal, digits, workdir, self.settings, callbacks=self.diverging(4))
        assert all(record(workdir, f"finetuned_{level}")["failed"] for level in (9, 7))


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
        ({"prune_blocks": (13,)}, "Cannot remove 13 universal blocks; expected 0 to 12"),
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
    """Says that a million multiply-adds take a millisecond, and any whole network three."""

    measured_on = MappingProxyType(
        {"processor": "abacus", "runtime": "by hand", "precision": "int8", "threads": "1"}
    )

    def __init__(self, graph):
        full = Architecture.full(graph.num_blocks, 3)
        paths = {path.name: costs.path_multiply_adds(graph, path) / 1e6 for path in full.paths}
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


class TestSearch:
    """Levels that are searched for, over the teacher and student of a finished run."""

    @pytest.fixture
    def workdir(self, finished, tmp_path):
        target = tmp_path / "run"
        shutil.copytree(finished[0], target)
        for stem in ("pruned_6", "finetuned_6", "selection"):
            (target / "records" / f"{stem}.json").unlink()
        return target

    def settings(self, **changes):
        return dataclasses.replace(SETTINGS, prune_blocks=None, **changes)

    def test_without_a_limit_the_leanest_network_is_found(self, universal, digits, workdir):
        result = tailor(universal, digits, workdir, self.settings(tolerance=100))
        run = record(workdir, "selection")
        assert result.within_tolerance and run["within_tolerance"]
        blocks = [level for level in run["levels"] if "_" not in level]
        assert len(blocks) <= BLOCKS_TRIED
        costs = {
            n: record(workdir, f"finetuned_{n}")["cost"]["multiply_adds"] for n in run["levels"]
        }
        assert costs[run["chosen"]] == min(costs.values())

    @pytest.mark.slow
    def test_a_search_that_nothing_ends_and_that_is_killed_goes_on_where_it_was(
        self, universal, digits, workdir
    ):
        started = []

        def killing(phase):
            started.append(phase.name)
            if len(started) == 2:
                raise KeyboardInterrupt
            return ()

        settings = self.settings(tolerance=-100)
        with pytest.raises(KeyboardInterrupt):
            tailor(universal, digits, workdir, settings, callbacks=killing)
        result = tailor(universal, digits, workdir, settings, callbacks=killing)
        levels = record(workdir, "selection")["levels"]
        first, *after = [f"finetuned_{level}" for level in levels]
        assert started == [first, after[0], *after]  # the killed one again, the finished one not
        blocks = [int(level) for level in levels]  # where it begins is up to the gates
        assert blocks == sorted(blocks, reverse=True)
        assert blocks[-1] == 0
        assert not result.within_tolerance
        assert "points NOT within the tolerance of -100 points" in result.table

    def test_levels_that_are_not_chosen_are_measured_on_test_images_if_asked_for(
        self, universal, digits, workdir
    ):
        asked = dataclasses.replace(SETTINGS, prune_blocks=(9, 6), tolerance=-100)
        before = tailor(universal, digits, workdir, asked)
        tested = ["test" in record(workdir, f"finetuned_{n}")["accuracy"] for n in (9, 6)]
        assert sorted(tested) == [False, True]
        after = tailor(universal, digits, workdir, dataclasses.replace(asked, test_levels=True))
        for level in (9, 6):
            found = record(workdir, f"finetuned_{level}")
            hits = sum(n for true, taken, n in found["confusion"]["test"] if true == taken)
            assert found["accuracy"]["test"] == pytest.approx(hits / len(digits.test))
        assert after.tailored.student.architecture == before.tailored.student.architecture

    def test_budgets_are_kept(self, universal, digits, workdir):
        student, full = record(workdir, "student")["cost"], Architecture.full(12, 3)
        budget = {}
        for count in ("multiply_adds", "parameters", "task_parameters"):
            least = costs.smallest(universal.graph, full, 10, count)
            budget[count] = least + 0.5 * (student[count] - least)
        tailor(universal, digits, workdir, self.settings(tolerance=None, budget=budget))
        run = record(workdir, "selection")
        found = {n: record(workdir, f"finetuned_{n}") for n in run["levels"]}
        for count, most in budget.items():
            assert all(level["cost"][count] <= most for level in found.values())
        best = max(level["accuracy"]["validation"] for level in found.values())
        assert found[run["chosen"]]["accuracy"]["validation"] == best

    def test_a_budget_smaller_than_any_network(self, universal, digits, workdir):
        settings = self.settings()
        full = settings.architecture(universal.graph)
        least = costs.smallest(universal.graph, full, 10, "parameters")
        settings = dataclasses.replace(settings, budget={"parameters": least - 1})
        with pytest.raises(ValueError, match=f"{least - 1:,} parameters; .* have {least:,} param"):
            tailor(universal, digits, workdir, settings)

    @pytest.mark.parametrize(
        "changes",
        [{"prune_blocks": (6,), "budget": {"parameters": 1e6}}, {"tolerance": None}],
    )
    def test_targets_that_contradict_each_other(self, changes):
        with pytest.raises(ValueError, match=r"Both numbers of blocks|Neither a tolerance"):
            dataclasses.replace(SETTINGS, **changes)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"confidence": 1.0}, "confidence is 1.0; expected a probability from 0.5"),
            ({"confidence": 0.3}, "confidence is 0.3; expected a probability from 0.5"),
            ({"confidence": float("nan")}, "confidence is nan; expected a probability"),
            ({"tolerance": 0.0, "undecided": "accurate"}, "no number of images shows"),
            ({"undecided": "perhaps"}, "Unknown undecided 'perhaps'; known are lean, accurate"),
        ],
    )
    def test_confidence_that_no_images_can_give(self, changes, message):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(SETTINGS, **changes)
