"""A run on digits and a tiny network that kills itself where it is told to; a program of tests.

Usage: python -m tests.tailoring.killed_run WORKDIR UNIVERSAL [KIND NUMBER]

KIND `step` dies after so many training steps, `write` in the middle of writing so many files of
weights, `between` between the renamings behind that, `record` before so many records are written.
"""

import dataclasses
import math
import os
import pathlib
import signal
import sys

import keras
import safetensors.numpy
import tensorflow as tf

from tailor_tf import Recipe, Settings, TrainingOptions, load_task, load_universal, tailor
from tailor_tf.records import store
from tailor_tf.training import loop

QUICK = Recipe(2, batch_size=128, learning_rate=0.05)
SETTINGS = Settings(
    teacher=QUICK,
    student=QUICK,
    sandwich=dataclasses.replace(QUICK, epochs=1),
    finetune=QUICK,
    prune_blocks=(6,),
    tolerance=100,
)


class Countdown:
    """Kills the process at the last of so many calls."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


class Steps(keras.callbacks.Callback):
    """Counts training steps."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def on_train_batch_end(self, batch, logs=None):
        self.count()


def die_in_writing(count):
    """Leaves half a file of weights behind."""
    save = safetensors.numpy.save_file

    def save_half(tensors, path, metadata=None):
        save(tensors, path, metadata)
        whole = pathlib.Path(path).read_bytes()
        pathlib.Path(path).write_bytes(whole[: len(whole) // 2])
        count()
        pathlib.Path(path).write_bytes(whole)

    safetensors.numpy.save_file = save_half


def die_before(module, name, count):
    """Dies before a call of a function."""
    function = getattr(module, name)

    def counted(*args, **kwargs):
        count()
        return function(*args, **kwargs)

    setattr(module, name, counted)


def main(workdir, universal, kind="", number="0"):
    """Runs until the end or until killed."""
    tf.config.experimental.enable_op_determinism()
    loop.CHECKPOINT_SHARE = math.inf  # a state after every step
    count = Countdown(int(number))
    if kind == "write":
        die_in_writing(count)
    elif kind == "between":
        die_before(os, "replace", count)
    elif kind == "record":
        die_before(store, "_write", count)
    steps = Steps(count if kind == "step" else Countdown(0))
    task = load_task("digits", image_size=16)
    options = {
        "callbacks": lambda phase: [steps],
        "options": TrainingOptions(checkpoint_seconds=0),
    }
    tailor(load_universal(universal), task, workdir, SETTINGS, **options)


if __name__ == "__main__":
    main(*sys.argv[1:])
