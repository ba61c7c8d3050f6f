"""Trains a small teacher and student for some steps and prints their losses; run by a test.

    python -m tests.strategy_run STRATEGY

The second half of every batch is the first half again, so that batch norms see the same whether
they see the whole batch or one half of it.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from pipelines import common
from tailor_tf import costs, distillation, student, training
from tailor_tf.graph import Architecture
from tailor_tf.training import Recipe
from tests import helpers

STEPS = 20
BATCH = 8
RECIPE = Recipe(2, batch_size=BATCH, learning_rate=0.05, schedule="cosine")


def batches(epoch, skip, share):
    rng = np.random.default_rng(epoch)
    half = rng.normal(size=(STEPS // 2, BATCH // 2, 8, 8, 3)).astype("float32")
    images = np.concatenate([half, half], axis=1)
    labels = np.tile(rng.integers(0, 5, (STEPS // 2, BATCH // 2), np.int32), 2)
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


def main(strategy):
    """Prints JSON: losses of teacher and student, and a checksum of the trained weights."""
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    keras.utils.set_random_seed(0)
    result = {}
    with common.strategy_scope(strategy):
        universal = helpers.universal(helpers.small_graph(), np.random.default_rng(0))
        teacher = student.build_teacher(universal, 5)
        full = Architecture.full(4, 3)
        learner = student.build_student(universal, full, 5)
        shares = costs.path_shares(universal.graph, full)
        for name, model, objective in (
            ("teacher", teacher, training.classification(RECIPE)),
            ("student", learner, distillation.StudentObjective(teacher, full, shares)),
        ):
            losses = []
            trainer = training.Trainer(model, objective, RECIPE, STEPS // 2)
            trainer.fit(batches, callbacks=[Losses(losses)])
            total = sum(float(np.abs(np.array(v)).sum()) for v in model.trainable_variables)
            result[name] = {"losses": losses, "weights": total}
            model.trainable = False
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
