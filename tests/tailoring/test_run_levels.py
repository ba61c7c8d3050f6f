"""Levels of a run on a tiny network and real digits: which are searched, and those that diverge."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

from tailor_tf import tailor
from tailor_tf.method.levels import BLOCKS_TRIED
from tailor_tf.network import costs, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.report import writer
from tailor_tf.training import loop
from tests.tailoring.quick import QUICK, SETTINGS, record


@pytest.fixture(autouse=True, scope="module")
def _without_pictures():
    """Reports are as they are, but for the pictures; test_run.py has those."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(writer, "_save", lambda figure, path: '<svg width="1pt"></svg>')
        yield


class TestDivergingLevels:
    """The loss of the first trainings of levels does not stay finite."""

    settings = dataclasses.replace(SETTINGS, prune_blocks=(3, 1))

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

    @pytest.mark.slow  # tests/training/test_tries.py has it on a small network
    def test_it_is_tried_once_more_and_more_cautiously(self, universal, digits, workdir, capsys):
        tailor(universal, digits, workdir, self.settings, callbacks=self.diverging(1))
        assert "once more from the beginning" in capsys.readouterr().out
        assert record(workdir, "selection")["levels"] == ["3"]
        state = workdir / "checkpoints" / "finetuned_3.safetensors"
        recipe = weights.read_metadata(state)["recipe"]
        assert recipe["learning_rate"] == pytest.approx(QUICK.learning_rate / 3)
        assert recipe["clip_norm"] == 1

    def test_after_two_tries_it_has_failed_and_the_search_goes_on(self, universal, digits, workdir):
        result = tailor(universal, digits, workdir, self.settings, callbacks=self.diverging(2))
        assert record(workdir, "selection")["chosen"] == "1"
        assert "failed: The loss is nan at step" in result.table
        again = tailor(
            universal,
            digits,
            workdir,
            dataclasses.replace(self.settings, test_levels=True),
            callbacks=lambda phase: pytest.fail("trained again"),
        )
        assert again.table == result.table

    @pytest.mark.slow
    def test_without_a_level_that_has_not_failed_there_is_no_result(
        self, universal, digits, workdir
    ):
        with pytest.raises(loop.NonFiniteLossError, match="nan at step"):
            tailor(universal, digits, workdir, self.settings, callbacks=self.diverging(4))
        assert all(record(workdir, f"finetuned_{level}")["failed"] for level in (3, 1))


class TestSearch:
    """Levels that are searched for, over the teacher and student of a finished run."""

    @pytest.fixture
    def workdir(self, finished, tmp_path):
        target = tmp_path / "run"
        shutil.copytree(finished[0], target)
        for stem in ("pruned_2", "finetuned_2", "selection"):
            (target / "records" / f"{stem}.json").unlink()
        for state in (target / "checkpoints").glob("finetuned_*"):
            state.unlink()
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

    def test_levels_that_are_trained_together_are_judged_and_one_is_tuned(
        self, universal, digits, workdir
    ):
        started = []

        def noting(phase):
            started.append(phase.name)
            return ()

        settings = self.settings(tolerance=100, training="sandwich")
        result = tailor(universal, digits, workdir, settings, callbacks=noting)
        chosen = record(workdir, "selection")["chosen"]
        assert started == ["sandwich", f"finetuned_{chosen}"]
        judged = sorted((workdir / "records").glob("pruned_*.json"))
        assert len(judged) >= 4, "every level with a network of its own"
        again = tailor(universal, digits, workdir, settings, callbacks=noting)
        assert (again.table, started[2:]) == (result.table, [])

        cost = record(workdir, f"finetuned_{chosen}")["cost"]["multiply_adds"]
        budget = {"multiply_adds": 2 * cost}
        larger = dataclasses.replace(settings, tolerance=-100, budget=budget)
        tailor(universal, digits, workdir, larger, callbacks=noting)
        assert set(started[2:]) <= {
            f"finetuned_{level}" for level in record(workdir, "selection")["levels"]
        }, "a new budget trains nothing but levels"
        taken = record(workdir, "selection")["chosen"]
        assert record(workdir, f"finetuned_{taken}")["cost"]["multiply_adds"] <= 2 * cost

    def test_levels_that_are_not_chosen_are_measured_on_test_images_if_asked_for(
        self, universal, digits, workdir
    ):
        asked = dataclasses.replace(SETTINGS, prune_blocks=(3, 2), tolerance=-100)
        before = tailor(universal, digits, workdir, asked)
        tested = ["test" in record(workdir, f"finetuned_{n}")["accuracy"] for n in (3, 2)]
        assert sorted(tested) == [False, True]
        after = tailor(universal, digits, workdir, dataclasses.replace(asked, test_levels=True))
        for level in (3, 2):
            found = record(workdir, f"finetuned_{level}")
            hits = sum(n for true, taken, n in found["confusion"]["test"] if true == taken)
            assert found["accuracy"]["test"] == pytest.approx(hits / len(digits.test))
        assert after.tailored.student.architecture == before.tailored.student.architecture

    def test_budgets_are_kept(self, universal, digits, workdir):
        student, full = record(workdir, "student")["cost"], Architecture.full(4, 3)
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
        [{"prune_blocks": (2,), "budget": {"parameters": 1e6}}, {"tolerance": None}],
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
