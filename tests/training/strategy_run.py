"""Trains a small teacher and student for some steps and prints their losses; run by a test.

    python -m tests.training.strategy_run STRATEGY [SYNC]
    python -m tests.training.strategy_run tailor FLAGS

The second form is `pipelines.tailor` on a machine with two devices.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from pipelines.common import devices, program
from tailor_tf.method import distillation, student
from tailor_tf.network import costs
from tailor_tf.network.architecture import Architecture
from tailor_tf.training.loop import Trainer
from tailor_tf.training.objective import Classification
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.recipe import Recipe
from tests import builders

STEPS = 20
BATCH = 8
RECIPE = Recipe(2, batch_size=BATCH, learning_rate=0.05, schedule="cosine")


def batches(epoch, skip, share):
    rng = np.random.default_rng(epoch)
    images = rng.normal(size=(STEPS // 2, BATCH, 8, 8, 3)).astype("float32")
    labels = rng.integers(0, 5, (STEPS // 2, BATCH), np.int32)
    size = BATCH // share.replicas
    images = images.reshape(-1, share.replicas, size, 8, 8, 3)[:, share.first :][:, : share.own]
    labels = labels.reshape(-1, share.replicas, size)[:, share.first :][:, : share.own]
    flat = (images.reshape(-1, size, 8, 8, 3), labels.reshape(-1, size))
    return tf.data.Dataset.from_tensor_slices(flat).skip(skip * share.own)


class Losses(keras.callbacks.Callback):
    """Collects the running mean of the losses after every step."""

    def __init__(self, into):
        super().__init__()
        self.into = into

    def on_train_batch_end(self, batch, logs=None):
        self.into.append(logs["loss"])


def losses(strategy, sync_batch_norm):
    """Losses of teacher and student after every step, and the sum of all trained weights."""
    keras.utils.set_random_seed(0)
    result = {}
    with devices.strategy_scope(strategy):
        universal = builders.universal(builders.small_graph(2), np.random.default_rng(0))
        teacher = student.build_teacher(universal, 5)
        full = Architecture.full(2, 2)
        learner = student.build_student(universal, full, 5)
        shares = costs.path_shares(universal.graph, full)
        options = TrainingOptions(sync_batch_norm=sync_batch_norm)
        for name, objective in (
            ("teacher", Classification(teacher)),
            ("student", distillation.StudentObjective(learner, teacher, shares)),
        ):
            figures, model = [], objective.model
            trainer = Trainer(objective, RECIPE, STEPS // 2, options=options)
            trainer.fit(batches, callbacks=[Losses(figures)])
            statistics = [v for v in model.weights if "moving" in v.path]
            result[name] = {
                "losses": figures,
                "weights": _total(model.trainable_variables),
                "statistics": _total(statistics),
            }
            model.trainable = False
    return result


def _total(variables):
    return sum(float(np.abs(v.numpy()).sum()) for v in variables)


def trained(strategy, *options):
    """The same in a process that has not used TensorFlow, on two devices if "mirrored"."""
    if strategy == "mirrored":
        two_devices()
    return losses(strategy, "nosync" not in options)


def two_devices():
    """Makes two devices of this machine's processor."""
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


if __name__ == "__main__":
    if sys.argv[1] == "tailor":
        two_devices()
        from pipelines import tailor

        del sys.argv[1]
        program.run(tailor.main)
    else:
        print(json.dumps(trained(*sys.argv[1:])))
