"""The phases of a run: each trained once, its weights and figures kept in the working directory."""

import base64
import dataclasses
import functools
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.data import Split, Task, evaluation_batches, training_batches
from tailor_tf.method import student
from tailor_tf.method.baselines import BASELINES
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.costs import Cost
from tailor_tf.records.records import Records, check_same_settings
from tailor_tf.support.errors import TailorError
from tailor_tf.training import loop
from tailor_tf.training.checkpoints import Checkpoints

EVALUATION_BATCH = 256
MOST_EXAMPLES = 200  # classes of which an image is kept to look at
CONFUSIONS_SHOWN = 12
THUMBNAIL = 64  # pixels

# A phase and what the names of its records, checkpoints and logs start with, in their order.
PHASES = {
    "teacher": "teacher",
    "student": "student",
    "prune": "pruned_",
    "finetune": "finetuned_",
}

Callbacks = Callable[[str], Sequence[keras.callbacks.Callback]]


def no_callbacks(phase: str) -> Sequence[keras.callbacks.Callback]:
    """No callbacks for any phase."""
    return ()


def phase_index(phase: str) -> int:
    """Position of a phase among `PHASES`.

    Raises:
        TailorError: an unknown phase.
    """
    if phase not in PHASES:
        raise TailorError(f"Unknown phase {phase!r}; known are {', '.join(PHASES)}.")
    return list(PHASES).index(phase)


def forgotten(phase: str) -> tuple[str, ...]:
    """What the names of records start with that go when a phase is begun anew.

    Raises:
        TailorError: an unknown phase.
    """
    if phase in BASELINES:
        return (phase,)
    return tuple(list(PHASES.values())[phase_index(phase) :])


class Phases:
    """Trains models for one task and keeps what comes of it.

    Args:
        task: the images.
        workdir: where records and checkpoints land.
        seed: of the order of the images and their augmentation.
        callbacks: Keras callbacks per phase, called with the phase's name.
        **options: of `loop.Trainer`: `checkpoint_seconds`, `sync_batch_norm`, `jit_compile`.
    """

    def __init__(
        self,
        task: Task,
        workdir: str | os.PathLike,
        seed: int,
        callbacks: Callbacks,
        **options: Any,
    ):
        self.task = task
        self.workdir = pathlib.Path(workdir)
        self.seed = seed
        self.callbacks = callbacks
        self.options = options
        self.records = Records(workdir)

    def train(
        self,
        name: str,
        model: keras.Model,
        objective: loop.Objective,
        recipe: loop.Recipe,
        settings: Mapping[str, Any],
        cost: Cost,
        architecture: Architecture | None = None,
        stop: Callable[[Sequence[Mapping[str, Any]]], bool] = lambda history: False,
        **options: Any,
    ) -> None:
        """Trains a model in place, or reads its weights where the phase was finished.

        Args:
            name: the phase's name, such as "student" or "finetuned_6".
            model: the model.
            objective: what to minimise.
            recipe: how.
            settings: everything that the phase depends on.
            cost: what the model costs, for the record.
            architecture: a student's paths; `None` for a teacher.
            stop: whether to leave it at a history, see `loop.Trainer.fit`; such a phase is
                finished for as long as this stays so.
            **options: of `loop.Trainer`, of this phase alone.

        Raises:
            records.SettingsChangedError: the phase was begun with other settings.
            loop.NonFiniteLossError: training diverged.
            TailorError: the phase was finished and its weights are gone.
        """
        finished = self.finished(name, settings, cost)
        if finished and finished.get("stopped") and not stop(finished["history"]):
            finished = None
        if finished and not self._checkpoint(name).exists():
            raise TailorError(
                f"{self.records.path(name)} says that the phase is finished, but its weights, "
                f"{self._checkpoint(name)}, are gone. Begin the phase anew (pipelines.tailor: "
                "--redo=PHASE), or take another working directory."
            )
        trainer = loop.Trainer(
            model,
            objective,
            recipe,
            steps_per_epoch=max(len(self.task.train) // recipe.batch_size, 1),
            checkpoint=self._checkpoint(name),
            settings=settings,
            **self.options,
            **options,
        )
        if finished:
            return
        print(f"\n{self.task.name}: {name.replace('_', ' ')}", flush=True)
        history = trainer.fit(
            functools.partial(
                training_batches,
                self.task.train,
                self.task.preprocessing,
                batch_size=recipe.batch_size,
                seed=self.seed,
            ),
            validate=lambda: {"validation_accuracy": self.accuracy(model, self.task.validation)},
            observe=functools.partial(_rounded_gates, model, architecture),
            stop=stop,
            callbacks=self.callbacks(name),
        )
        stopped = len(history) < recipe.epochs
        self.record(name, model, settings, cost, architecture, history=history, stopped=stopped)

    def finished(self, name: str, settings: Mapping[str, Any], cost: Cost) -> dict[str, Any] | None:
        """The record of a phase that was finished with these settings; `None` if it was not.

        What the network costs is written anew: latency may not have been measured then.

        Raises:
            records.SettingsChangedError: the phase was finished with other settings.
        """
        record = self.records.read_if_same(name, settings)
        if record and record["cost"] != dataclasses.asdict(cost):
            record["cost"] = dataclasses.asdict(cost)
            self.records.write(name, record)
        return record

    def record(
        self,
        name: str,
        model: keras.Model,
        settings: Mapping[str, Any],
        cost: Cost,
        architecture: Architecture | None,
        **extra: Any,
    ) -> None:
        """Writes a phase's record: its validation results, cost, gates, settings, history."""
        history = extra.get("history", [])
        gates = student.gate_values(model, architecture) if architecture else {}
        self.records.write(
            name,
            {
                "seconds": sum(epoch["seconds"] for epoch in history),
                **_measured({}, "validation", self._confusion(model, self.task.validation)),
                "cost": dataclasses.asdict(cost),
                "architecture": architecture and architecture.as_dict(),
                "gates": [[*path.as_list(), gate] for path, gate in gates.items()],
                "settings": settings,
                "history": [],
                **extra,
            },
        )

    def accuracy(self, model: keras.Model, split: Split) -> float:
        """Top-1 accuracy of a model on a split, 0..1."""
        return loop.evaluate(model, self._batches(split))

    def _confusion(self, model: keras.Model, split: Split) -> np.ndarray:
        return loop.confusion(model, self._batches(split))

    def _batches(self, split: Split) -> tf.data.Dataset:
        return evaluation_batches(split, self.task.preprocessing, batch_size=EVALUATION_BATCH)

    def validation_accuracy(self, name: str) -> float:
        """The recorded validation accuracy of a finished phase."""
        return self.records.read(name)["accuracy"]["validation"]

    def add_test_results(self, name: str, model: Callable[[], keras.Model]) -> None:
        """Adds what the test images say to a record that lacks it, if they have labels.

        Args:
            name: the phase's name.
            model: makes the phase's model; called only where needed.
        """
        record = self.records.read(name)
        if self.task.test and "test" not in record["accuracy"]:
            counts = self._confusion(model(), self.task.test)
            self.records.write(name, record | _measured(record, "test", counts))

    def add_examples(self, name: str, model: keras.Model) -> None:
        """Writes the record `examples`: images to look at, with what the model takes them for.

        They are of the test images, or of those of validation where the task has no labelled ones:
        the first image of each class, and one for each of the most frequent confusions of the
        phase `name`.
        """
        found = self.records.read("examples")
        if found and found["of"] == name:
            return
        split = self.task.test or self.task.validation
        logits, labels = loop.predict(model, self._batches(split))
        predicted = logits.argmax(-1)
        classes, first = np.unique(labels, return_index=True)
        shown = dict(zip(classes[:MOST_EXAMPLES].tolist(), first.tolist(), strict=False))
        confusions = self.records.read(name)["confusion"][split.name]
        wrong = sorted((c for c in confusions if c[0] != c[1]), key=lambda c: -c[2])
        mistaken = [
            [true, other, int(np.flatnonzero((labels == true) & (predicted == other))[0])]
            for true, other, _ in wrong[:CONFUSIONS_SHOWN]
        ]
        self.records.write(
            "examples",
            {
                "of": name,
                "split": split.name,
                "classes": [[label, _png(split, index)] for label, index in shown.items()],
                "confusions": [[*pair, _png(split, index)] for *pair, index in mistaken],
            },
        )

    def check(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuses a working directory whose records or checkpoints have other settings.

        Args:
            settings: by phase name, everything that the phase depends on.

        Raises:
            records.SettingsChangedError: names the file and the settings that differ.
        """
        for name, wanted in settings.items():
            self.records.read_if_same(name, wanted)
            checkpoint = self._checkpoint(name)
            if found := Checkpoints(checkpoint).read_metadata():
                check_same_settings(checkpoint, found["settings"], wanted)

    def _checkpoint(self, name: str) -> pathlib.Path:
        return self.workdir / "checkpoints" / f"{name}.safetensors"

    def forget(self, phase: str) -> None:
        """Removes what `phase` and the phases after it left, so that they run anew.

        Args:
            phase: one of `PHASES`, or of `baselines.BASELINES`, which nothing follows.

        Raises:
            TailorError: an unknown phase.
        """
        results = ("records/selection.json", "task_pack.safetensors")
        for name in () if phase in BASELINES else results:
            (self.workdir / name).unlink(missing_ok=True)
        for stem in forgotten(phase):
            for path in self.workdir.glob(f"records/{stem}*.json"):
                path.unlink()
            for path in self.workdir.glob(f"checkpoints/{stem}*.safetensors"):
                path.unlink()
            for path in self.workdir.glob(f"logs/{stem}*"):
                shutil.rmtree(path)


def _png(split: Split, index: int) -> str:
    """An image of a split as PNG, base64, scaled down where it is large."""
    image = tf.convert_to_tensor(split.images[np.array([index])][0])
    if max(image.shape[:2]) > THUMBNAIL:
        image = tf.image.resize(image, (THUMBNAIL, THUMBNAIL), "area", preserve_aspect_ratio=True)
        image = tf.cast(tf.round(image), tf.uint8)
    return base64.b64encode(tf.io.encode_png(image).numpy()).decode("ascii")


def _rounded_gates(model: keras.Model, architecture: Architecture | None) -> dict[str, list]:
    """A student's gates for its history, in the order of its paths."""
    if architecture is None:
        return {}
    return {"gates": [round(g, 4) for g in student.gate_values(model, architecture).values()]}


def _measured(record: Mapping[str, Any], split: str, confusion: np.ndarray) -> dict[str, Any]:
    """The accuracies of a record and its confusions, those of one more split included.

    Of a confusion matrix the entries above 0 are kept: `[true class, predicted class, images]`.
    """
    entries = [[int(i), int(j), int(confusion[i, j])] for i, j in np.argwhere(confusion)]
    accuracy = float(np.trace(confusion) / confusion.sum())
    return {
        "accuracy": {**record.get("accuracy", {}), split: accuracy},
        "confusion": {**record.get("confusion", {}), split: entries},
    }
