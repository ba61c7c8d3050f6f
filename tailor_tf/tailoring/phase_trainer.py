"""Training of one phase, and its files: record, checkpoint, logs."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tailor_tf.data.batches import training_batches
from tailor_tf.data.task import Task
from tailor_tf.method.student import Student
from tailor_tf.network.cost import Cost
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import EpochRecord
from tailor_tf.records.same_settings import check_same_settings
from tailor_tf.records.store import Records
from tailor_tf.support.errors import TailorError
from tailor_tf.tailoring.phase_recorder import PhaseRecorder, Stop, never
from tailor_tf.training.checkpoints import Checkpoints
from tailor_tf.training.loop import NonFiniteLossError, Trainer
from tailor_tf.training.objective import Objective
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.recipe import Recipe
from tailor_tf.training.tries import fit_in_tries

Callbacks = Callable[[Phase], Sequence[keras.callbacks.Callback]]


def no_callbacks(phase: Phase) -> Sequence[keras.callbacks.Callback]:
    """Returns no callbacks, for any phase."""
    return ()


class PhaseTrainer(PhaseRecorder):
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
        super().__init__(task, records, seed=seed)
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
