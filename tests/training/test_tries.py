"""A second try on a small network: when it is made, where it begins, and how it goes on."""

import functools

import numpy as np
import pytest

from tailor_tf import Recipe
from tailor_tf.network import weights
from tailor_tf.training import loop
from tailor_tf.training.objective import Classification
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.tries import fit_in_tries
from tests.training.test_loop import STEPS, StopAt, batches, build

# Steps of this length leave the range of float32 within two epochs.
RECKLESS = Recipe(3, batch_size=4, learning_rate=1e18)
CALM = Recipe(3, batch_size=4, learning_rate=0.05)


def fit(path, model, recipes, *, callbacks=()):
    """Trains a model in tries; checkpoints are written after every epoch."""
    made = []

    def make_trainer(recipe):
        made.append(recipe)
        return loop.Trainer(
            Classification(model),
            recipe,
            STEPS,
            checkpoint=path,
            settings={"phase": 1},
            options=TrainingOptions(checkpoint_seconds=1e9),
        )

    fit_one = functools.partial(loop.Trainer.fit, batches=batches, callbacks=callbacks)
    return fit_in_tries(make_trainer, fit_one, recipes), made


def trained(tmp_path, recipe):
    """Weights after one try with a recipe."""
    model = build()
    fit(tmp_path / "alone.safetensors", model, [recipe])
    return model.get_weights()


def test_the_second_try_begins_with_the_first_weights(tmp_path, capsys):
    model = build()
    history, made = fit(tmp_path / "state.safetensors", model, [RECKLESS, CALM])
    assert made[-1] == CALM and len(history) == CALM.epochs
    for ours, alone in zip(model.get_weights(), trained(tmp_path, CALM), strict=True):
        np.testing.assert_array_equal(ours, alone)
    assert "once more from the beginning" in capsys.readouterr().out


def test_a_first_try_that_ends_well_is_the_only_one(tmp_path):
    _, made = fit(tmp_path / "state.safetensors", build(), [CALM, RECKLESS])
    assert made == [CALM]


def test_a_second_try_that_was_killed_goes_on(tmp_path):
    path, model = tmp_path / "state.safetensors", build()
    diverged_after = len(_steps_of_the_first_try(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        fit(path, model, [RECKLESS, CALM], callbacks=[StopAt(diverged_after + STEPS + 1)])
    assert weights.read_metadata(path)["recipe"] == CALM.as_dict()
    model = build()
    history, made = fit(path, model, [RECKLESS, CALM])
    assert made[-1] == CALM and len(history) == CALM.epochs
    for ours, alone in zip(model.get_weights(), trained(tmp_path, CALM), strict=True):
        np.testing.assert_array_equal(ours, alone)


def _steps_of_the_first_try(tmp_path):
    """The steps that the reckless try takes before its loss is not finite."""
    steps = StopAt(-1)
    with pytest.raises(loop.NonFiniteLossError):
        fit(tmp_path / "first.safetensors", build(), [RECKLESS], callbacks=[steps])
    return range(-1 - steps.left)


def test_the_last_try_says_what_happened(tmp_path):
    even_more = Recipe(3, batch_size=4, learning_rate=1e19)
    with pytest.raises(loop.NonFiniteLossError, match=r"learning rate 1e\+19"):
        fit(tmp_path / "state.safetensors", build(), [RECKLESS, even_more])


def test_clipped_gradients_move_weights_by_no_more_than_the_rate(tmp_path):
    """Without momentum and decay a step is at most the learning rate times the largest norm."""
    recipe = Recipe(
        1, batch_size=4, learning_rate=0.5, momentum=0.0, weight_decay=0.0, clip_norm=0.01
    )
    model = build()
    before = np.concatenate([value.ravel() for value in model.get_weights()])
    fit(tmp_path / "state.safetensors", model, [recipe])
    after = np.concatenate([value.ravel() for value in model.get_weights()])
    moved = np.linalg.norm(after - before)
    assert 0 < moved <= STEPS * 0.5 * 0.01 * 1.0001
