"""Quantisation-aware training, sparsity and clustering, by TensorFlow Model Optimization.

That library knows tf-keras alone, and importing it changes `tf.keras` for the whole process. It is
therefore used in a process of its own, the program `export.optimize.worker`. The network is
fine-tuned towards the probabilities that it gave before, on the task's augmented training images.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator

import keras
import numpy as np

from export.metadata import ArtifactError
from export.optimize import assignment, description
from export.optimize.assignment import Assignment
from export.optimize.job import Job
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.support import extras

IMAGES = 20_000  # training images that are used at most

_WORKER = f"{__package__}.worker"
_ROOT = pathlib.Path(__file__).parents[_WORKER.count(".")]  # where the worker is found


def quantise(network: keras.Model, task: Task, job: Job, *, fixed: Collection[str] = ()) -> bytes:
    """Fine-tunes a network with int8 kernels and activations.

    Args:
        network: folded, from normalised images to logits; not changed.
        task: the images; its training split is used.
        job: a job of the method "quantise".
        fixed: names of convolutions that are not trained.

    Returns:
        A TFLite file in int8.

    Raises:
        ArtifactError: the network has a layer that the library does not know, or the process
            failed; its last words are in the message.
        extras.MissingPackageError: the library is not installed.
    """
    with _done(network, task, job, fixed) as folder:
        return (folder / assignment.TFLITE).read_bytes()


def compress(network: keras.Model, task: Task, job: Job) -> keras.Model:
    """Fine-tunes a network while its kernels become sparse, or of few distinct values.

    Args:
        network: folded, from normalised images to logits; not changed.
        task: the images; its training split is used.
        job: a job of the method "sparsify" or "cluster".

    Returns:
        A network like the one given, with other weights.

    Raises:
        ArtifactError: as `quantise`.
    """
    with _done(network, task, job, ()) as folder, np.load(folder / assignment.CHANGED) as changed:
        result = keras.models.clone_model(network)
        result.set_weights([changed[variable.path] for variable in network.weights])
        return result


@contextlib.contextmanager
def _done(
    network: keras.Model, task: Task, job: Job, fixed: Collection[str]
) -> Iterator[pathlib.Path]:
    """Runs a job in the worker; yields a folder with the result, which is removed afterwards."""
    extras.require("tensorflow_model_optimization")
    if unknown := description.unknown_layers(network):
        raise ArtifactError(
            f"TensorFlow Model Optimization is not used on {', '.join(unknown)} layers, which "
            f"{network.name} has; known are {', '.join(description.SETTINGS)}."
        )
    with tempfile.TemporaryDirectory() as folder:
        _assignment(network, task, job, fixed).save(pathlib.Path(folder))
        done = _work(folder)
        if done.returncode:
            raise ArtifactError(
                f"TensorFlow Model Optimization could not {job.method} {network.name}: "
                f"{(done.stderr.strip().splitlines() or ['no message'])[-1]}"
            )
        yield pathlib.Path(folder)


def _assignment(network: keras.Model, task: Task, job: Job, fixed: Collection[str]) -> Assignment:
    train = task.train
    chosen = np.random.default_rng(job.seed).permutation(len(train))[:IMAGES]
    return Assignment(
        job=job,
        network=description.describe(network, fixed),
        weights={variable.path: np.asarray(variable) for variable in network.weights},
        split=Split("train", train.labels[chosen], train.images[chosen]),
        preprocessing=task.preprocessing,
    )


def _work(folder: str) -> subprocess.CompletedProcess[str]:
    """Runs the worker on a folder."""
    return subprocess.run(
        [sys.executable, "-m", _WORKER, folder],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
