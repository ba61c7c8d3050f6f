"""The program: does the assignment that a folder holds, and writes its result there."""

import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from export.optimize.assignment import CHANGED, TFLITE, Assignment
from export.optimize.job import LEARNING_RATES
from export.optimize.worker import compression, quantisation
from export.optimize.worker.network import build
from tailor_tf.data.batches import evaluation_batches, training_batches

_RANGE_BATCHES = 20  # over which ranges of activations are looked at
_COMPRESSIONS = {"sparsify": compression.sparse, "cluster": compression.clustered}


def run(folder: pathlib.Path) -> None:
    """Does the assignment in a folder."""
    assignment = Assignment.load(folder)
    network = build(assignment.network, assignment.weights)
    tf_keras.utils.set_random_seed(assignment.job.seed)
    if assignment.job.method == "quantise":
        (folder / TFLITE).write_bytes(_quantised(assignment, network))
    else:
        np.savez(folder / CHANGED, **_compressed(assignment, network))


def _batch_size(assignment: Assignment) -> int:
    return min(assignment.job.batch_size, len(assignment.split))


def _quantised(assignment: Assignment, network: tf_keras.Model) -> bytes:
    """A TFLite file of a network that was trained with fake quantisation."""
    size = _batch_size(assignment)
    batches = evaluation_batches(assignment.split, assignment.preprocessing, batch_size=size)
    model = quantisation.quantised(_copied(network))
    quantisation.set_ranges(model, network, batches.take(_RANGE_BATCHES))
    _train(assignment, model, network, [])
    return _converted(model, integer_io=assignment.job.integer_io)


def _compressed(assignment: Assignment, network: tf_keras.Model) -> dict[str, np.ndarray]:
    """Weights, by path, of a network that was trained to compress well."""
    job = assignment.job
    steps = job.epochs * (len(assignment.split) // _batch_size(assignment))
    wrapped = _COMPRESSIONS[job.method](_copied(network), job, steps)
    _train(assignment, wrapped.model, network, wrapped.callbacks)
    stripped = wrapped.strip(wrapped.model)
    changed = {}
    for operation in assignment.network:
        if operation.weights:
            values = stripped.get_layer(operation.name).get_weights()
            changed |= dict(zip(operation.weights, values, strict=True))
    return changed


def _copied(network: tf_keras.Model) -> tf_keras.Model:
    copy = tf_keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy


def _train(
    assignment: Assignment,
    model: tf_keras.Model,
    network: tf_keras.Model,
    callbacks: Sequence[Any],
) -> None:
    """Trains a model towards the probabilities that the network gives.

    Args:
        assignment: images, augmentation and job.
        model: the model, trained in place.
        network: the network that it was made of.
        callbacks: Keras callbacks.
    """
    job, size = assignment.job, _batch_size(assignment)
    before = tf.function(lambda images: tf.nn.softmax(network(images, training=False)))
    model.compile(
        tf_keras.optimizers.legacy.Adam(job.learning_rate or LEARNING_RATES[job.method]),
        tf_keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    for epoch in range(job.epochs):
        batches = training_batches(
            assignment.split,
            assignment.preprocessing,
            batch_size=size,
            seed=job.seed,
            epoch=epoch,
        )
        model.fit(
            batches.map(lambda images, labels: (images, before(images))),
            callbacks=callbacks,
            verbose=0,
        )


def _converted(model: tf_keras.Model, *, integer_io: bool) -> bytes:
    """A quantised network as a TFLite file."""
    module = tf.Module()
    module.model = model
    logits = tf.function(lambda images: {"logits": model(images, training=False)})
    images = tf.TensorSpec([1, *model.input.shape[1:]], tf.float32, name="images")
    signatures = {"serving_default": logits.get_concrete_function(images)}
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if integer_io:
            converter.inference_input_type = converter.inference_output_type = tf.int8
        return converter.convert()


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1]))
