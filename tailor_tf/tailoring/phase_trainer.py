"""Training of one phase, and its files: record, checkpoint, logs."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.data.batches import evaluation_batches, training_batches
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.method.distillation import divergence
from tailor_tf.method.importance import removal_order
from tailor_tf.method.losses import cross_entropy
from tailor_tf.method.student import Student
from tailor_tf.network.architecture import Path
from tailor_tf.network.cost import Cost
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import EpochRecord, ExamplesRecord, PhaseRecord
from tailor_tf.records.same_settings import check_same_settings
from tailor_tf.records.store import Records
from tailor_tf.support.errors import TailorError
from tailor_tf.tailoring.examples import choose_examples
from tailor_tf.training import evaluation
from tailor_tf.training.checkpoints import Checkpoints
from tailor_tf.training.loop import NonFiniteLossError, Trainer
from tailor_tf.training.objective import Objective
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.recipe import Recipe
from tailor_tf.training.tries import fit_in_tries

EVALUATION_BATCH = 256
VARIANCE_IMAGES = 512  # training images on which the variance of nodes is measured
RANKING_IMAGES = 256  # training images on which the loss without a block is measured

Callbacks = Callable[[Phase], Sequence[keras.callbacks.Callback]]
Stop = Callable[[Sequence[float]], bool]  # validation accuracies of all epochs -> whether to stop


def no_callbacks(phase: Phase) -> Sequence[keras.callbacks.Callback]:
    """Returns no callbacks, for any phase."""
    return ()


def never(curve: Sequence[float]) -> bool:
    """Never stops a training: it runs to its last epoch."""
    return False


class PhaseTrainer:
    """Trains the models of one task and writes their records.

    Args:
        task: the task with its images.
        records: the records of the working directory, which also has the checkpoints.
        seed: seed of the order of the images and of their augmentation.
        callbacks: function from a phase to its Keras callbacks.
        options: options of the training loop.
    """

    def __init__(
        self,
        task: Task,
        records: Records,
        *,
        seed: int,
        callbacks: Callbacks = no_callbacks,
        options: TrainingOptions | None = None,
    ):
        self.task = task
        self.records = records
        self.seed = seed
        self.callbacks = callbacks
        self.options = options

    def train(
        self,
        phase: Phase,
        objective: Objective,
        recipe: Recipe,
        settings: Mapping[str, Any],
        cost: Cost,
        *,
        student: Student | None = None,
        stop: Stop = never,
        tries: int = 1,
    ) -> None:
        """Trains a model in place, or reads its weights if the phase is finished already.

        Args:
            phase: the phase.
            objective: the model and the loss to minimise.
            recipe: settings of the optimisation.
            settings: all settings that the phase depends on, as JSON values.
            cost: cost of the model, for the record.
            student: the student that the model belongs to; `None` for other networks.
            stop: whether to stop, from the validation accuracies of all epochs. A phase that was
                stopped counts as finished as long as `stop` returns True for these accuracies.
            tries: 2 to start once more, by `Recipe.cautious`, if the loss does not stay finite.
                After the last of several tries the phase is recorded as failed.

        Raises:
            SettingsChangedError: the phase was begun with other settings.
            NonFiniteLossError: the loss is infinite or not a number, now or as it is recorded.
            TailorError: the phase is finished, but its weights are missing.
        """
        make_trainer = functools.partial(
            Trainer,
            objective,
            steps_per_epoch=max(len(self.task.train) // recipe.batch_size, 1),
            checkpoint=self._checkpoint(phase),
            settings=settings,
            options=self.options,
        )
        finished = self.finished(phase, settings, stop)
        if finished and finished.failed:
            raise NonFiniteLossError(finished.failed, "run this phase again.")
        if finished:
            self._check_weights(phase)
            make_trainer(recipe).restore()
            self._update_cost(phase, finished, cost)
            return
        print(f"\n{self.task.name}: {phase.name.replace('_', ' ')}", flush=True)
        model = objective.model
        fit = functools.partial(
            Trainer.fit,
            batches=functools.partial(
                training_batches,
                self.task.train,
                self.task.preprocessing,
                batch_size=recipe.batch_size,
                seed=self.seed,
            ),
            validate=lambda: {"validation_accuracy": self.accuracy(model, self.task.validation)},
            observe=functools.partial(_rounded_gates, student),
            stop=lambda history: stop([epoch["validation_accuracy"] for epoch in history]),
            callbacks=self.callbacks(phase),
        )
        record = functools.partial(self.record, phase, model, settings, cost, student=student)
        try:
            history = fit_in_tries(make_trainer, fit, [recipe, recipe.cautious()][:tries])
        except NonFiniteLossError as error:
            if tries > 1:
                record(failed=error.reason)
            raise
        record(
            history=tuple(map(EpochRecord.from_dict, history)),
            stopped=len(history) < recipe.epochs,
        )

    def finished(
        self, phase: Phase, settings: Mapping[str, Any], stop: Stop = never
    ) -> PhaseRecord | None:
        """The record of a phase that is finished; `None` if it is not.

        A training that was stopped early counts as finished only if `stop` would stop it again.

        Raises:
            SettingsChangedError: the phase was finished with other settings.
        """
        record = self.records.read_if_same(phase, settings)
        if record and record.stopped and not stop(record.curve):
            return None
        return record

    def record(
        self,
        phase: Phase,
        model: keras.Model,
        settings: Mapping[str, Any],
        cost: Cost,
        *,
        student: Student | None = None,
        history: tuple[EpochRecord, ...] = (),
        stopped: bool = False,
        restored: tuple[Path, ...] = (),
        failed: str = "",
    ) -> None:
        """Writes the record of a phase, with the results of its model on validation images.

        A phase that failed has no results.
        """
        record = PhaseRecord(
            seconds=sum(epoch.seconds for epoch in history),
            accuracy={},
            confusion={},
            cost=cost,
            architecture=student and student.architecture,
            gates=student.gate_values() if student and not failed else {},
            settings=settings,
            history=history,
            stopped=stopped,
            restored=restored,
            failed=failed,
        )
        if not failed:
            record = self._measured(record, model, self.task.validation)
        self.records.write_phase(phase, record)

    def record_pruning(
        self,
        phase: Phase,
        student: Student,
        settings: Mapping[str, Any],
        cost: Cost,
        restored: tuple[Path, ...],
    ) -> None:
        """Writes the record of a pruning, if it has none or its record has another cost."""
        finished = self.finished(phase, settings)
        if finished:
            self._update_cost(phase, finished, cost)
        else:
            self.record(phase, student.model, settings, cost, student=student, restored=restored)

    def _update_cost(self, phase: Phase, record: PhaseRecord, cost: Cost) -> None:
        """Corrects the cost in a record: it may have been written before latency was measured."""
        if record.cost != cost:
            self.records.write_phase(phase, dataclasses.replace(record, cost=cost))

    def add_test_results(self, phase: Phase, model: Callable[[], keras.Model]) -> None:
        """Adds results on test images to a record, if it has none and the images have labels.

        Args:
            phase: the phase.
            model: returns the phase's model; called only if it is needed.
        """
        record = self.records.read_phase(phase)
        if self.task.test and "test" not in record.accuracy:
            measured = self._measured(record, model(), self.task.test)
            self.records.write_phase(phase, measured)

    def add_examples(self, phase: Phase, model: Callable[[], keras.Model]) -> None:
        """Writes the record of example images, if it is not of this phase already.

        The images are test images, or validation images if the task has no labelled test images.

        Args:
            phase: the phase.
            model: returns the phase's model; called only if it is needed.
        """
        found = self.records.read(ExamplesRecord)
        if found and found.of == phase.name:
            return
        split = self.task.test or self.task.validation
        logits, _ = evaluation.predict(model(), self._batches(split))
        record = self.records.read_phase(phase)
        self.records.write(choose_examples(phase, record, split, logits.argmax(-1)))

    def check(self, settings: Mapping[Phase, Mapping[str, Any]]) -> None:
        """Refuses a working directory whose records or checkpoints have other settings.

        Args:
            settings: all settings that each phase depends on, by phase.

        Raises:
            SettingsChangedError: settings differ; the message names the file and the settings.
        """
        for phase, wanted in settings.items():
            self.records.read_if_same(phase, wanted)
            checkpoint = self._checkpoint(phase)
            if found := Checkpoints(checkpoint).read_metadata():
                check_same_settings(checkpoint, found["settings"], wanted)

    def accuracy(self, model: keras.Model, split: Split) -> float:
        """Top-1 accuracy of a model on a split, 0..1."""
        return evaluation.evaluate(model, self._batches(split))

    def node_variances(self, model: keras.Model) -> list[float]:
        """Variance of each node of a model over some training images, without augmentation."""
        return evaluation.node_variances(model, self._batches(self._some(VARIANCE_IMAGES)))

    def record_order(
        self, phase: Phase, student: Student, teacher: keras.Model, costs: Mapping[Path, float]
    ) -> None:
        """Adds the order in which universal blocks are removed to a student's record.

        The loss is the cross-entropy plus the divergence from the teacher, on some training images
        without augmentation.

        Args:
            phase: the student's phase.
            student: the trained student.
            teacher: its teacher.
            costs: complexity of each path, in any unit.
        """
        record = self.records.read_phase(phase)
        if record.order:
            return
        batches = self._batches(self._some(RANKING_IMAGES)).cache()
        taught, labels = evaluation.predict(teacher, batches)

        def loss() -> float:
            logits, _ = evaluation.predict(student.model, batches)
            return float(cross_entropy(labels, logits) + divergence(logits, taught))

        order = removal_order(student, loss, costs)
        self.records.write_phase(phase, dataclasses.replace(record, order=order))

    def _some(self, number: int) -> Split:
        """Training images at equal distances in their order."""
        train = self.task.train
        number = min(len(train), number)
        return train.select(np.linspace(0, len(train) - 1, number).astype(int), train.name)

    def _measured(self, record: PhaseRecord, model: keras.Model, split: Split) -> PhaseRecord:
        """The record with the model's results on one more split."""
        logits, labels = evaluation.predict(model, self._batches(split))
        predicted = logits.argmax(-1)
        counts = evaluation.confusion(labels, predicted, num_classes=logits.shape[-1])
        entries = tuple((int(i), int(j), int(counts[i, j])) for i, j in np.argwhere(counts))
        return dataclasses.replace(
            record,
            accuracy={**record.accuracy, split.name: float(np.mean(predicted == labels))},
            confusion={**record.confusion, split.name: entries},
            mistakes={
                **record.mistakes,
                split.name: tuple(np.flatnonzero(predicted != labels).tolist()),
            },
        )

    def _batches(self, split: Split) -> tf.data.Dataset:
        return evaluation_batches(split, self.task.preprocessing, batch_size=EVALUATION_BATCH)

    def _checkpoint(self, phase: Phase) -> pathlib.Path:
        return self.records.workdir.checkpoint(phase)

    def _check_weights(self, phase: Phase) -> None:
        checkpoint = self._checkpoint(phase)
        if not checkpoint.exists():
            raise TailorError(
                f"{self.records.phase_path(phase)} says that the phase is finished, but its "
                f"weights, {checkpoint}, are gone. Run the phase again (pipelines.tailor: "
                "--redo=PHASE), or use another working directory."
            )


def _rounded_gates(student: Student | None) -> dict[str, list[float]]:
    """The entry of a student's gates in its history, in the order of its paths."""
    if student is None:
        return {}
    return {"gates": [round(gate, 4) for gate in student.gate_values().values()]}
