"""TensorBoard logs of a training."""

import os

import keras
import tensorflow as tf


class ScalarLogs(keras.callbacks.Callback):
    """Keras callback that writes the figures of each epoch for TensorBoard.

    Args:
        logdir: folder of the event files.
    """

    def __init__(self, logdir: str | os.PathLike):
        super().__init__()
        self.logdir = os.fspath(logdir)
        self._writer = None

    def on_epoch_end(self, epoch, logs=None):
        if self._writer is None:  # opened here, so that a finished phase writes no empty file
            self._writer = tf.summary.create_file_writer(self.logdir)
        with self._writer.as_default(step=epoch):
            for name, value in (logs or {}).items():
                tf.summary.scalar(name, value)
        self._writer.flush()
