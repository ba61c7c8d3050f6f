"""Trains a source network from scratch and writes it as a universal network."""

import dataclasses
import functools
import json
import os
import pathlib
from typing import Any

import keras

from tailor_tf.backbones.universal import save_universal
from tailor_tf.data import Task, evaluation_batches, training_batches
from tailor_tf.network import costs
from tailor_tf.network.graph import BlockGraph, build_network
from tailor_tf.support.files import write_text
from tailor_tf.training import loop


def pretrain(
    graph: BlockGraph,
    task: Task,
    recipe: loop.Recipe,
    *,
    workdir: str | os.PathLike,
    seed: int = 0,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """Trains `graph` on a source task and writes `universal.safetensors` and `pretrain.json`.

    Started again on the same working directory it goes on where it stopped.

    Args:
        graph: the network to train.
        task: the source images.
        recipe: optimisation settings.
        workdir: where everything lands.
        seed: of the initial weights, the order of the images and their augmentation.
        callbacks: Keras callbacks.
        **options: of `loop.Trainer`: `checkpoint_seconds`, `sync_batch_norm`, `jit_compile`.

    Returns:
        The record that `pretrain.json` holds.
    """
    workdir = pathlib.Path(workdir)
    keras.utils.set_random_seed(seed)
    model = build_network(graph, task.num_classes)
    trainer = loop.Trainer(
        model,
        loop.classification(recipe),
        recipe,
        steps_per_epoch=len(task.train) // recipe.batch_size,
        checkpoint=workdir / "checkpoint.safetensors",
        **options,
        settings={
            "backbone": dict(graph.config),
            **task.settings(),
            "seed": seed,
            "precision": keras.config.dtype_policy().name,
            "recipe": dataclasses.asdict(recipe),
        },
    )

    def accuracy(split):
        return loop.evaluate(
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
    record = {
        "backbone": dict(graph.config),
        "task": task.name,
        "classes": task.num_classes,
        "training_images": len(task.train),
        "test_accuracy": accuracy(task.test) if task.test else None,
        "validation_accuracy": accuracy(task.validation),
        "parameters": costs.parameters(model),
        "multiply_adds": costs.multiply_adds(model),
        "seconds": sum(epoch["seconds"] for epoch in history),
        "history": history,
    }
    save_universal(workdir / "universal.safetensors", graph, model)
    write_text(workdir / "pretrain.json", json.dumps(record, indent=1))
    return record
