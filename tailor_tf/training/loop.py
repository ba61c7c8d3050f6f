"""Training loop for source networks, teachers, students and baselines."""

import dataclasses
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.data.batches import Share
from tailor_tf.network import keys, weights
from tailor_tf.network.layers import BatchNorm
from tailor_tf.records.same_settings import check_same_settings
from tailor_tf.support.errors import TailorError
from tailor_tf.training.checkpoints import Checkpoints
from tailor_tf.training.objective import Objective
from tailor_tf.training.options import TrainingOptions
from tailor_tf.training.recipe import Recipe

CHECKPOINT_SHARE = 0.01  # largest share of the time for writing checkpoints within epochs

# epoch=, skip= (batches to leave out), share= (slices of each batch) -> images and labels
Batches = Callable[..., tf.data.Dataset]


class NonFiniteLossError(TailorError):
    """The loss became infinite or not a number.

    Args:
        reason: what happened.
        advice: what to do about it.
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}; {advice}")
        self.reason = reason


class Trainer:
    """One training and its state, which is saved to and restored from one file.

    If the trainer is made in the scope of a `tf.distribute` strategy, it trains under this
    strategy. Losses and gradients are means over the whole batch, for any number of replicas.

    Args:
        objective: the model and the loss to minimise; the model was made in the same scope.
        recipe: settings of the optimisation.
        steps_per_epoch: number of steps in an epoch.
        checkpoint: the file of the newest state, see `checkpoints`; no state is kept by default.
        settings: all settings that the result depends on, as JSON values; the recipe by default.
            Checkpoints with other settings are refused.
        options: options of the loop.

    Attributes:
        model: the model to train, changed in place.
        history: the mean of each figure, for each finished epoch.
    """

    def __init__(
        self,
        objective: Objective,
        recipe: Recipe,
        steps_per_epoch: int,
        *,
        checkpoint: str | os.PathLike | None = None,
        settings: Mapping[str, Any] | None = None,
        options: TrainingOptions | None = None,
    ):
        self.model = objective.model
        self.strategy = tf.distribute.get_strategy()
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.checkpoints = Checkpoints(checkpoint) if checkpoint else None
        self.settings = settings or {"recipe": recipe.as_dict()}
        self.options = options or TrainingOptions()
        self.history: list[dict[str, Any]] = []
        self._objective = objective
        self._epoch = _Epoch()
        self._next_save = time.monotonic() + self.options.checkpoint_seconds
        self.optimizer = recipe.make_optimizer(steps_per_epoch)
        if any(layer.compute_dtype == "float16" for layer in self.model.layers):
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
        self.optimizer.build(self.model.trainable_variables)
        replicas = self.strategy.num_replicas_in_sync
        for layer in self.model.layers:
            if isinstance(layer, BatchNorm):
                layer.synchronized = self.options.sync_batch_norm and replicas > 1
        self._steps: dict[int, Callable[..., Mapping[str, Any]]] = {}

    def step(self, images: Any, labels: Any) -> Mapping[str, Any]:
        """Trains the model by one step; `fit` calls it for every batch.

        Args:
            images: as the objective takes them; one such tensor per replica under a strategy.
            labels: likewise.

        Returns:
            The loss and the objective's scalars, by name.
        """
        return self.compiled_step(self._objective.variant)(images, labels)

    def compiled_step(self, variant: int = 0) -> Callable[..., Mapping[str, Any]]:
        """The `tf.function` of a step with a variant of the objective, made at the first call."""
        if variant not in self._steps:
            self._steps[variant] = self._make_step(variant)
        return self._steps[variant]

    def _make_step(self, variant):
        trained = self.model.trainable_variables
        replicas = self.strategy.num_replicas_in_sync
        weight_decay = self.recipe.weight_decay / replicas  # the optimizer sums over replicas
        decays = [0.0 if keys.is_gate(v.path) else weight_decay for v in trained]
        jit_compile = self.options.jit_compile

        def on_replica(images, labels):
            scale = self.optimizer.scale_loss(1.0)  # above 1 in half precision
            with tf.GradientTape() as tape:
                loss, figures = self._objective(images, labels, variant)
                share = loss * (scale / replicas)
            gradients = tape.gradient(
                share,
                [v.value for v in trained],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            decayed = [
                g + (decay * scale) * v
                for g, v, decay in zip(gradients, trained, decays, strict=True)
            ]
            self.optimizer.apply_gradients(zip(decayed, trained, strict=True))
            return {"loss": loss, **figures}

        if jit_compile or not tf.distribute.has_strategy():
            on_replica = tf.function(on_replica, jit_compile=jit_compile)

        def step(images, labels):
            figures = self.strategy.run(on_replica, (images, labels))
            mean = tf.distribute.ReduceOp.MEAN
            return {name: self.strategy.reduce(mean, v, axis=None) for name, v in figures.items()}

        return tf.function(step) if tf.distribute.has_strategy() else on_replica

    def restore(self) -> None:
        """Restores the newest checkpoint, if there is one.

        Raises:
            records.SettingsChangedError: the checkpoint was written with other settings.
            TailorError: there are checkpoints, but none can be read.
        """
        found = self.checkpoints and self.checkpoints.read()
        if not found:
            return
        tensors, metadata = found
        path = self.checkpoints.newest
        check_same_settings(path, metadata.get("settings", {}), self.settings)
        changing = self._changing()
        weights.assign(self.model, tensors, origin=str(path), wanted=changing.__contains__)
        try:
            for key, variable in self._other_variables().items():
                variable.assign(tensors[key])
            self.history = metadata["history"]
            self._epoch = _Epoch(**metadata.get("epoch", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise TailorError(
                f"{path} is damaged: a part of the state is missing or not valid ({error!r}). "
                "Delete it to start this training again."
            ) from error

    def _distributed(self, batches: Batches, epoch: int, skip: int):
        """The batches of an epoch, each cut into one slice per replica."""
        if not tf.distribute.has_strategy():
            return batches(epoch=epoch, skip=skip, share=Share())

        def of_process(context):
            own = context.num_replicas_in_sync // context.num_input_pipelines
            first = own * context.input_pipeline_id
            share = Share(context.num_replicas_in_sync, first, own)
            return batches(epoch=epoch, skip=skip, share=share)

        return self.strategy.distribute_datasets_from_function(of_process)

    def fit(
        self,
        batches: Batches,
        *,
        validate: Callable[[], Mapping[str, float]] = dict,
        observe: Callable[[], Mapping[str, Any]] = dict,
        stop: Callable[[Sequence[Mapping[str, Any]]], bool] = lambda history: False,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> list[dict[str, Any]]:
        """Trains the remaining steps, after a restored state or from the start.

        Args:
            batches: function that returns the batches of images and labels of an epoch. Its
                keyword arguments are `epoch`, the index of the epoch; `skip`, the number of batches
                to leave out at the start; `share`, the slices of each batch to return.
            validate: called after each epoch; returns further figures of the epoch. The state with
                the highest "validation_accuracy" among them is kept as the best.
            observe: called after each epoch; returns further JSON values for the history, which
                callbacks do not receive.
            stop: called before each epoch with the history; returns whether to stop training.
            callbacks: Keras callbacks.

        Returns:
            The mean of each figure for each epoch, epochs before a restart included.

        Raises:
            NonFiniteLossError: the loss is infinite or not a number; the message names step and
                learning rate. The last good state is kept.
            TailorError: a state cannot be written.
        """
        hooks = keras.callbacks.CallbackList(
            list(callbacks),
            model=self.model,
            epochs=self.recipe.epochs,
            steps=self.steps_per_epoch,
            verbose=1 if sys.stdout.isatty() else 2,  # 1 is a progress bar, 2 a line per epoch
        )
        hooks.on_train_begin()
        for epoch in range(len(self.history), self.recipe.epochs):
            if stop(self.history):
                break
            hooks.on_epoch_begin(epoch)
            started = time.monotonic() - self._epoch.seconds
            for images, labels in self._distributed(batches, epoch, self._epoch.steps):
                self._one_step(images, labels, hooks)
                self._epoch.seconds = time.monotonic() - started
                if time.monotonic() >= self._next_save:
                    self._save()
            figures = {**self._epoch.means(), **validate()}
            figures["seconds"] = time.monotonic() - started
            self.history.append({**figures, **observe()})
            self._epoch = _Epoch()
            self._save(best=self._is_best())
            hooks.on_epoch_end(epoch, figures)
        hooks.on_train_end()
        if self.checkpoints:
            self.checkpoints.finish()
        return self.history

    def _one_step(self, images, labels, hooks) -> None:
        hooks.on_train_batch_begin(self._epoch.steps)
        figures = {name: float(value) for name, value in self.step(images, labels).items()}
        self._check_finite(figures["loss"])
        self._objective.after_step(figures)
        self._epoch.add(figures)
        hooks.on_train_batch_end(self._epoch.steps - 1, self._epoch.means())

    def _is_best(self) -> bool:
        accuracies = [figures.get("validation_accuracy", 0.0) for figures in self.history]
        return accuracies[-1] >= max(accuracies)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            step = int(self.optimizer.iterations)
            raise NonFiniteLossError(
                f"The loss is {loss} at step {step} with learning rate "
                f"{float(self.optimizer.learning_rate):.3g}",
                "start this phase again from the beginning, with a lower learning rate.",
            )

    def _changing(self) -> dict[str, keras.Variable]:
        """The weights that training changes; frozen universal weights need no checkpoint."""
        found = weights.variables(self.model).items()
        return {key: v for key, v in found if v.trainable or keys.is_statistic(key)}

    def _other_variables(self) -> dict[str, keras.Variable]:
        found = {f"optimizer/{i}": v for i, v in enumerate(self.optimizer.variables)}
        return found | {f"state/{name}": v for name, v in self._objective.state.items()}

    def _save(self, *, best: bool = False) -> None:
        if not self.checkpoints:
            return
        started = time.monotonic()
        state = {**self._changing(), **self._other_variables()}
        tensors = {key: np.array(variable) for key, variable in state.items()}
        if not all(np.isfinite(value).all() for value in tensors.values()):
            if len(self.history) == self.recipe.epochs:
                self._check_finite(math.nan)  # refused here, as no step follows
            return  # the next step's loss is not finite and is refused
        metadata = {
            "settings": self.settings,
            "recipe": self.recipe.as_dict(),
            "history": self.history,
            "epoch": dataclasses.asdict(self._epoch),
        }
        self.checkpoints.save(tensors, metadata, best=best)
        now = time.monotonic()
        pause = max(self.options.checkpoint_seconds, (now - started) / CHECKPOINT_SHARE)
        self._next_save = now + pause


@dataclasses.dataclass
class _Epoch:
    """Progress within an epoch: steps done, sums of the figures over them, and seconds."""

    steps: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def add(self, figures: Mapping[str, float]) -> None:
        """Counts one more step."""
        self.steps += 1
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """The mean of each figure."""
        return {name: total / self.steps for name, total in self.sums.items()}
