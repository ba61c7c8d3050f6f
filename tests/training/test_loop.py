"""The loop on a small network: resumed anywhere it ends in the same bits, and it loses nothing."""

import json
import math
import os
import pathlib
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

from tailor_tf import Recipe, TrainingOptions
from tailor_tf.method.student import build_student
from tailor_tf.network import weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.records.same_settings import SettingsChangedError
from tailor_tf.training import loop
from tailor_tf.training.checkpoints import Checkpoints
from tailor_tf.training.objective import Classification
from tests import builders

RECIPE = Recipe(3, batch_size=4, learning_rate=0.05, decay_epochs=1)
STEPS = 5
IMAGES = np.random.default_rng(0).normal(size=(STEPS * 4, 6)).astype("float32")
LABELS = (IMAGES.sum(axis=1) > 0).astype("int32")


def batches(epoch, skip, share):
    """Another order each epoch."""
    order = np.random.default_rng(epoch).permutation(len(LABELS))[4 * skip :]
    return tf.data.Dataset.from_tensor_slices((IMAGES[order], LABELS[order])).batch(4)


def build():
    keras.utils.set_random_seed(0)
    images = keras.Input((6,))
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(images)
    return keras.Model(images, {"logits": keras.layers.Dense(2, name="out")(hidden)})


def trainer(path=None, objective=None, **options):
    """A trainer that goes on where the last one at `path` was stopped."""
    objective, often = objective or Classification(build()), TrainingOptions(checkpoint_seconds=0)
    made = loop.Trainer(objective, RECIPE, STEPS, checkpoint=path, options=often, **options)
    made.restore()
    return made


@pytest.fixture
def every_step(monkeypatch):
    """A state is written after every step, whatever time that takes."""
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", math.inf)


class StopAt(keras.callbacks.Callback):
    """Raises after so many steps in all, as an interrupt would."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def progress(path):
    """Steps that a state has behind it."""
    metadata = weights.read_metadata(path)
    return STEPS * len(metadata["history"]) + metadata["epoch"]["steps"]


def figures(history):
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in history]


def test_left_where_it_is_told_to_it_goes_on_from_there(tmp_path):
    expected = figures(trainer().fit(batches))
    path = tmp_path / "state.safetensors"
    left = trainer(path).fit(batches, stop=lambda history: len(history) == 2)
    assert figures(left) == expected[:2]
    assert figures(trainer(path).fit(batches)) == expected


def test_resumed_after_any_step_it_ends_in_the_same_bits(tmp_path, every_step):
    straight = trainer()
    expected = straight.fit(batches)
    for stop in range(1, 3 * STEPS):
        path = tmp_path / f"{stop}.safetensors"
        with pytest.raises(KeyboardInterrupt):
            trainer(path).fit(batches, callbacks=[StopAt(stop)])
        if path.exists():  # the state of the step in which it was stopped had not been written yet
            assert progress(path) == stop - 1
        resumed = trainer(path)
        assert figures(resumed.fit(batches)) == figures(expected)
        for key, value in weights.arrays(straight.model).items():
            np.testing.assert_array_equal(weights.arrays(resumed.model)[key], value)
        assert {file.name for file in tmp_path.glob(f"{stop}.*")} == {
            f"{stop}.safetensors",
            f"{stop}.best.safetensors",
        }


def _stopped(path, steps):
    with pytest.raises(KeyboardInterrupt):
        trainer(path).fit(batches, callbacks=[StopAt(steps)])


def test_a_truncated_state_falls_back_to_the_one_before(tmp_path, every_step, caplog):
    path = tmp_path / "state.safetensors"
    _stopped(path, 8)
    path.write_bytes(path.read_bytes()[:-100])
    assert progress(Checkpoints(path).previous) == 6  # of 7
    resumed = trainer(path)
    assert "state.safetensors" in caplog.text and "the state before it" in caplog.text
    assert figures(resumed.fit(batches)) == figures(trainer().fit(batches))


def test_without_a_whole_state_it_says_what_to_delete(tmp_path, every_step):
    path = tmp_path / "state.safetensors"
    _stopped(path, 3)
    for file in tmp_path.iterdir():
        file.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"No state of .*state.safetensors can be read; delete it"):
        trainer(path)


def test_the_best_state_is_kept(tmp_path):
    path = tmp_path / "state.safetensors"
    accuracies = iter([0.5, 0.9, 0.7])
    snapshots = []

    def validate():
        snapshots.append(weights.arrays(run.model))
        return {"validation_accuracy": next(accuracies)}

    run = trainer(path)
    run.fit(batches, validate=validate)
    best, _ = weights.read(Checkpoints(path).best)
    newest, metadata = weights.read(path)
    for key in snapshots[0]:
        np.testing.assert_array_equal(best[key], snapshots[1][key])
        np.testing.assert_array_equal(newest[key], snapshots[2][key])
    assert len(metadata["history"]) == 3


def test_further_state_is_kept_with_the_model(tmp_path):
    path = tmp_path / "state.safetensors"

    class Counting(Classification):
        def after_step(self, figures):
            self.state["counted"].assign_add(figures["accuracy"])

    def with_state():
        objective, counted = Counting(build()), keras.Variable(0.0, trainable=False)
        objective.state["counted"] = counted
        return counted, trainer(path, objective)

    counted, first = with_state()
    history = first.fit(batches, observe=lambda: {"seen": [float(counted)]})
    assert 0 < float(counted) == history[-1]["seen"][0]
    again, _ = with_state()
    assert float(again) == float(counted)


def test_other_settings_and_other_networks_are_named(tmp_path):
    path = tmp_path / "state.safetensors"
    trainer(path, settings={"seed": 0}).fit(batches)
    with pytest.raises(SettingsChangedError, match=r"state.safetensors .*seed was 0 and is 1"):
        trainer(path, settings={"seed": 1})
    images = keras.Input((6,))
    other = keras.Model(images, {"logits": keras.layers.Dense(2, name="hidden")(images)})
    with pytest.raises(ValueError, match=r"hidden/kernel should have shape \(6, 2\), received"):
        trainer(path, Classification(other), settings={"seed": 0})


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_with_a_message_and_keeps_the_state(small_disk, every_step):
    path = small_disk / "state.safetensors"
    _stopped(path, 3)
    before = path.read_bytes()
    filler = small_disk / "filler"
    try:
        filler.write_bytes(b"x" * 65536)
    except OSError:
        assert filler.stat().st_size
    with pytest.raises(
        ValueError, match=r"Cannot write the checkpoint .*No space left.* make room"
    ):
        trainer(path).fit(batches)
    assert path.read_bytes() == before
    filler.unlink()
    assert figures(trainer(path).fit(batches)) == figures(trainer().fit(batches))


def test_writing_states_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    """With a limit of zero seconds between states it is the share that limits them."""
    written = []
    monkeypatch.setattr(Checkpoints, "save", lambda self, *args, best: written.append(best))
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e-9)
    trainer(pathlib.Path(tmp_path) / "state.safetensors").fit(batches)
    assert len(written) == 1 + 3  # the first step's, and one after each epoch


def test_metadata_is_plain_json(tmp_path, every_step):
    path = tmp_path / "state.safetensors"
    _stopped(path, 3)
    assert json.loads(json.dumps(weights.read_metadata(path)))["epoch"]["steps"] == 2


def test_gate_logits_do_not_decay_and_everything_else_does(small):
    """One step on a loss whose gradients are zero changes what decays, by rate times penalty."""
    student = build_student(small, Architecture.full(4, 3), 5)
    builders.randomise(student.model, np.random.default_rng(0))

    class Zero(Classification):
        def __call__(self, images, labels, variant=0):
            total = sum(tf.reduce_sum(v.value) for v in self.model.trainable_variables)
            return 0.0 * total, {}

    before = weights.arrays(student.model)
    recipe = Recipe(1, learning_rate=0.1, weight_decay=0.01)
    loop.Trainer(Zero(student.model), recipe, 1).step(tf.zeros([1]), tf.zeros([1]))
    trained = {v.path for v in student.model.trainable_variables}
    gates = {f"block{layer}_gate/logits" for layer in range(1, 5)}
    assert gates < trained
    for key, value in weights.arrays(student.model).items():
        decayed = key in trained - gates
        expected = before[key] * (1 - 0.1 * 0.01) if decayed else before[key]
        np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=key)


def test_adam_against_its_equations(rng):
    """Kingma and Ba 2015, algorithm 1, in NumPy, for a loss whose gradients are known."""
    model = build()
    slopes = {
        v.path: rng.choice([-1, 1], v.shape) * rng.uniform(0.5, 2, v.shape)
        for v in model.trainable_variables
    }

    class Linear(Classification):
        def __call__(self, images, labels, variant=0):
            factor = tf.cast(tf.reduce_sum(images), "float32")
            variables = self.model.trainable_variables
            products = [
                tf.reduce_sum(v.value * tf.cast(slopes[v.path], "float32")) for v in variables
            ]
            return factor * sum(products), {}

    before = weights.arrays(model)
    recipe = Recipe(1, learning_rate=0.01, optimizer="adam", momentum=0.8, weight_decay=0.0)
    trainer = loop.Trainer(Linear(model), recipe, 3)
    factors = (1.0, -3.0, 0.5)
    for factor in factors:
        trainer.step(tf.constant([factor]), tf.zeros([1]))
    for path, slope in slopes.items():
        value, mean, square = before[path].astype("float64"), 0.0, 0.0
        for t, factor in enumerate(factors, start=1):
            mean = 0.8 * mean + 0.2 * factor * slope
            square = 0.99 * square + 0.01 * (factor * slope) ** 2
            step = mean / (1 - 0.8**t) / (np.sqrt(square / (1 - 0.99**t)) + 1e-7)
            value = value - 0.01 * step
        np.testing.assert_allclose(weights.arrays(model)[path], value, rtol=1e-4, err_msg=path)


def test_an_unknown_optimizer():
    with pytest.raises(ValueError, match="Unknown optimizer 'sdg'; known are sgd, adam"):
        Recipe(1, optimizer="sdg")


def test_weights_that_are_not_finite_after_the_last_step_are_no_result(tmp_path):
    """The loss of a step is that before it: nothing but the state itself tells."""
    path = tmp_path / "state.safetensors"
    run = trainer(path)

    class Break(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == 3 * STEPS:
                run.model.get_layer("out").bias.assign([np.nan, 0])

    with pytest.raises(loop.NonFiniteLossError, match="nan at step 15 with learning rate"):
        run.fit(batches, callbacks=[Break()])
    assert progress(path) < 3 * STEPS
    tensors, _ = weights.read(path)
    assert all(np.isfinite(value).all() for value in tensors.values())


def test_making_a_trainer_reads_and_writes_nothing(tmp_path):
    path = tmp_path / "state.safetensors"
    trainer(path).fit(batches)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    made = loop.Trainer(Classification(build()), RECIPE, STEPS, checkpoint=path)
    assert made.history == []
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_state_that_is_not_finite_is_not_written(tmp_path, every_step):
    path = tmp_path / "state.safetensors"
    run = trainer(path)

    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                run.model.get_layer("out").bias.assign([np.nan, 0])

    with pytest.raises(loop.NonFiniteLossError, match="nan at step 4 with learning rate"):
        run.fit(batches, callbacks=[Break()])
    assert progress(path) == 2
