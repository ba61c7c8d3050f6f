"""Pre-training: trains a source network from scratch and writes it as a universal network."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tailor_tf.backbones.universal import save_universal
from tailor_tf.data.batches import evaluation_batches, training_batches
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.network import counting
from tailor_tf.network.graph import BlockGraph, build_network
from tailor_tf.records.workdir import SourceWorkdir
from tailor_tf.support.files import write_text
from tailor_tf.training import evaluation
from tailor_tf.training.loop import Trainer
from tailor_tf.training.objective import Classification
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class PretrainingRecord:
    """A source network with its results.

    Attributes:
        backbone: settings of the backbone.
        task: name of the source task.
        classes: number of classes of the source task.
        training_images: number of training images.
        test_accuracy: accuracy on test images, 0..1; `None` without test images.
        validation_accuracy: accuracy on validation images, 0..1.
        parameters: parameters of the network, with its classifier.
        multiply_adds: multiply-adds for one image, with the classifier.
        seconds: duration of the training.
        history: mean of each figure, by name, for each epoch.
    """

    backbone: Mapping[str, Any]
    task: str
    classes: int
    training_images: int
    test_accuracy: float | None
    validation_accuracy: float
    parameters: int
    multiply_adds: int
    seconds: float
    history: Sequence[Mapping[str, Any]]


def pretrain(
    graph: BlockGraph,
    task: Task,
    recipe: Recipe,
    *,
    workdir: str | os.PathLike,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    options: TrainingOptions | None = None,
) -> PretrainingRecord:
    """Trains `graph` on a source task and writes the network and its record.

    If it is started again with the same working directory, it continues from the last checkpoint.

    Args:
        graph: the description of the network.
        task: the source task with its images.
        recipe: settings of the optimisation.
        workdir: folder for all files, see `SourceWorkdir`.
        seed: seed of the initial weights, the order of the images and their augmentation.
        callbacks: Keras callbacks.
        options: options of the training loop.

    Raises:
        SettingsChangedError: the working directory was made with other settings.
        NonFiniteLossError: the loss is infinite or not a number.
        support.files.FileKindError: a link is in the place of a file or folder of the training.
    """
    files = SourceWorkdir(workdir)
    files.check()
    keras.utils.set_random_seed(seed)
    model = build_network(graph, task.num_classes)
    trainer = Trainer(
        Classification(model, recipe.label_smoothing),
        recipe,
        steps_per_epoch=len(task.train) // recipe.batch_size,
        checkpoint=files.checkpoint,
        settings={
            "backbone": dict(graph.config),
            **task.settings(),
            "seed": seed,
            "precision": keras.config.dtype_policy().name,
            "recipe": recipe.as_dict(),
        },
        options=options,
    )
    trainer.restore()

    def accuracy(split: Split) -> float:
        return evaluation.evaluate(
            model, evaluation_batches(split, task.preprocessing, batch_size=recipe.batch_size)
        )

    history = trainer.fit(
        functools.partial(
            training_batches,
            task.train,
            task.preprocessing,
            batch_size=recipe.batch_size,
            seed=seed,
        ),
        validate=lambda: {"validation_accuracy": accuracy(task.validation)},
        callbacks=callbacks,
    )
    record = _record(graph, task, model, history, accuracy)
    save_universal(files.universal, graph, model)
    write_text(files.record, json.dumps(dataclasses.asdict(record), indent=1))
    return record


def _record(
    graph: BlockGraph,
    task: Task,
    model: keras.Model,
    history: Sequence[Mapping[str, Any]],
    accuracy: Callable[[Split], float],
) -> PretrainingRecord:
    return PretrainingRecord(
        backbone=dict(graph.config),
        task=task.name,
        classes=task.num_classes,
        training_images=len(task.train),
        test_accuracy=accuracy(task.test) if task.test else None,
        validation_accuracy=accuracy(task.validation),
        parameters=counting.parameters(model),
        multiply_adds=counting.multiply_adds(model),
        seconds=sum(epoch["seconds"] for epoch in history),
        history=history,
    )
