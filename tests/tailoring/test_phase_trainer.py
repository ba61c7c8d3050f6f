"""Training of one phase: whose images are looked at, and when it counts as finished."""

import keras
import numpy as np
import pytest

from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.network.cost import Cost
from tailor_tf.records import phase as names
from tailor_tf.records.level import Level
from tailor_tf.records.records import EpochRecord, ExamplesRecord, PhaseRecord
from tailor_tf.records.same_settings import SettingsChangedError
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.tailoring.phase_trainer import PhaseTrainer
from tailor_tf.training.objective import Classification
from tailor_tf.training.recipe import Recipe

COST = Cost(1, 1, 1, 1, 0)
LEVEL = names.finetuned(Level(3))
PREPROCESSING = Preprocessing(4, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0)


def split(name, *labels):
    pixels = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 4, 4, 3), np.uint8)
    return Split(name, np.array(labels, np.int32), pixels)


@pytest.fixture
def task():
    """Validation images are all of class 0, test images all but one of class 1."""
    info = TaskInfo("two", ("zero", "one"), PREPROCESSING)
    train, validation = split("train", *[0, 1] * 4), split("validation", *[0] * 6)
    return Task(info, train, validation, split("test", 0, 1, 1, 1, 1))


@pytest.fixture
def records(tmp_path):
    return Records(Workdir(tmp_path))


def always_zero():
    """A network that takes everything for class 0, and learns next to nothing."""
    images = keras.Input((4, 4, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    logits = keras.layers.Dense(2, kernel_initializer="zeros", name="classifier")(pooled)
    model = keras.Model(images, {"logits": logits})
    model.get_layer("classifier").bias.assign([5.0, 0.0])
    return model


SAME = {"task": "zeros", "universal": "f0", "classes": ["no", "yes"], "seed": 0}


def train(trainer, phase=names.TEACHER, settings=SAME, **options):
    model = always_zero()
    recipe = Recipe(2, batch_size=4, learning_rate=1e-6)
    trainer.train(phase, Classification(model), recipe, settings, COST, **options)
    return model


def test_epochs_are_validated_with_validation_images(task, records):
    train(PhaseTrainer(task, records, seed=0))
    record = records.read_phase(names.TEACHER)
    assert record.curve == [1.0, 1.0]
    assert record.accuracy == {"validation": 1.0}
    assert record.confusion == {"validation": ((0, 0, 6),)}


def test_test_images_are_looked_at_when_asked_for_and_once(task, records):
    trainer = PhaseTrainer(task, records, seed=0)
    model = train(trainer)
    trainer.add_test_results(names.TEACHER, lambda: model)
    record = records.read_phase(names.TEACHER)
    assert record.accuracy == {"validation": 1.0, "test": 0.2}
    assert record.confusion["test"] == ((0, 0, 1), (1, 0, 4))
    trainer.add_test_results(names.TEACHER, lambda: pytest.fail("it was measured already"))


def test_examples_show_the_first_image_of_a_class_and_the_frequent_confusions(task, records):
    trainer = PhaseTrainer(task, records, seed=0)
    model = train(trainer)
    trainer.add_test_results(names.TEACHER, lambda: model)
    trainer.add_examples(names.TEACHER, lambda: model)
    found = records.read(ExamplesRecord)
    assert (found.of, found.split) == ("teacher", "test")
    assert [label for label, _ in found.classes] == [0, 1]
    assert [pair[:2] for pair in found.confusions] == [(1, 0)]
    trainer.add_examples(names.TEACHER, lambda: pytest.fail("they are there already"))


def test_a_finished_phase_is_read_and_its_cost_brought_up_to_date(task, records):
    trainer = PhaseTrainer(task, records, seed=0)
    first = train(trainer)
    before = records.read_phase(names.TEACHER)
    again = always_zero()
    objective, recipe = Classification(again), Recipe(2, batch_size=4)
    cost = Cost(1, 1, 1, 1, 0, latency_ms=2.0)
    trainer.train(names.TEACHER, objective, recipe, SAME, cost)
    np.testing.assert_array_equal(again.get_weights()[0], first.get_weights()[0])
    after = records.read_phase(names.TEACHER)
    assert after.cost == cost and after.history == before.history


def test_asking_whether_a_phase_is_finished_writes_nothing(task, records):
    trainer = PhaseTrainer(task, records, seed=0)
    train(trainer)
    path = records.phase_path(names.TEACHER)
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert trainer.finished(names.TEACHER, SAME)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    with pytest.raises(SettingsChangedError, match="seed was 0 and is 1"):
        trainer.finished(names.TEACHER, {**SAME, "seed": 1})


def test_a_phase_that_was_given_up_is_finished_for_as_long_as_it_would_be_given_up(task, records):
    trainer = PhaseTrainer(task, records, seed=0)
    train(trainer, LEVEL, stop=lambda curve: len(curve) == 1)
    record = records.read_phase(LEVEL)
    assert record.stopped and len(record.history) == 1
    assert trainer.finished(LEVEL, SAME, stop=lambda curve: curve == [1.0])
    assert trainer.finished(LEVEL, SAME, stop=lambda curve: False) is None
    train(trainer, LEVEL)  # another goal, which is not out of reach
    record = records.read_phase(LEVEL)
    assert not record.stopped and len(record.history) == 2


def test_a_phase_trained_to_its_end_is_finished_whatever_the_goal(task, records):
    trainer = PhaseTrainer(task, records, seed=0)
    epochs = (EpochRecord({"validation_accuracy": 0.5}),)
    done = PhaseRecord(0.0, {"validation": 0.5}, {}, COST, None, {}, SAME, epochs)
    records.write_phase(LEVEL, done)
    assert trainer.finished(LEVEL, SAME, stop=lambda curve: False) == done
