"""The training loop: one for source networks, teachers and students."""

import dataclasses
import functools
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.data import Share
from tailor_tf.method.losses import accuracy, cross_entropy
from tailor_tf.network import keys, weights
from tailor_tf.network.layers import BatchNorm
from tailor_tf.records.records import check_same_settings
from tailor_tf.support.errors import TailorError
from tailor_tf.training.checkpoints import Checkpoints

CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 0.01  # of the time that writing states within epochs may take

# (model, images [batch, height, width, 3], labels [batch]) -> (loss to minimise, scalars to show)
Objective = Callable[[keras.Model, tf.Tensor, tf.Tensor], tuple[tf.Tensor, dict[str, tf.Tensor]]]

# epoch=, skip= (batches to leave out), share= (slices of each batch to give) -> images and labels
Batches = Callable[..., tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to optimise: SGD with momentum, coupled weight decay and a learning-rate schedule.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: at the start, after the warm-up.
        schedule: "step" multiplies the rate by `decay` every `decay_epochs`; "cosine" lowers it to
            zero over all epochs.
        decay: factor of the "step" schedule.
        decay_epochs: epochs between the steps of the "step" schedule.
        warmup_epochs: epochs of linear rise from zero, "cosine" only.
        momentum: of SGD.
        weight_decay: L2 penalty factor, added to the gradient as in PyTorch's SGD, so that it
            passes through the momentum; gate logits are exempt.
        label_smoothing: probability mass of the target spread over all classes.
    """

    epochs: int
    batch_size: int = 32
    learning_rate: float = 0.1
    schedule: str = "step"
    decay: float = 0.1
    decay_epochs: int = 8
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0

    def __post_init__(self):
        if self.schedule not in ("step", "cosine"):
            raise TailorError(f"Unknown schedule {self.schedule!r}; known are step, cosine.")
        for name in ("epochs", "batch_size", "learning_rate", "decay_epochs"):
            if getattr(self, name) <= 0:
                raise TailorError(f"{name} is {getattr(self, name)}; expected a positive number.")

    def learning_rates(self, steps_per_epoch: int):
        """The schedule as a Keras object that maps the step to the learning rate."""
        schedules = keras.optimizers.schedules
        if self.schedule == "cosine":
            warmup = round(self.warmup_epochs * steps_per_epoch)
            return schedules.CosineDecay(
                0.0 if warmup else self.learning_rate,
                max(self.epochs * steps_per_epoch - warmup, 1),
                warmup_target=self.learning_rate if warmup else None,
                warmup_steps=warmup,
            )
        drops = range(1, math.ceil(self.epochs / self.decay_epochs))
        if not drops:
            return schedules.ExponentialDecay(self.learning_rate, 1, 1.0)
        return schedules.PiecewiseConstantDecay(
            [drop * self.decay_epochs * steps_per_epoch - 1 for drop in drops],
            [self.learning_rate * self.decay**drop for drop in (0, *drops)],
        )


class NonFiniteLossError(TailorError):
    """The loss became infinite or not a number."""


def classification(recipe: Recipe) -> Objective:
    """The objective of source networks and teachers: cross-entropy of the logits."""

    def objective(model, images, labels):
        logits = model(images, training=True)["logits"]
        loss = cross_entropy(labels, logits, recipe.label_smoothing)
        return loss, {"accuracy": accuracy(labels, logits)}

    return objective


@functools.lru_cache(maxsize=4)
def inference(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """The compiled forward pass of a model: images `[batch, ...]` to logits `[batch, classes]`."""
    images = tf.TensorSpec(model.input.shape, model.input.dtype)
    return tf.function(
        lambda images: model(images, training=False)["logits"], input_signature=[images]
    )


def predict(model: keras.Model, batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[examples, classes]` and labels `[examples]` of all batches, in order.

    The model has `"logits"` among its outputs.
    """
    infer = inference(model)
    pairs = [(infer(images).numpy(), labels.numpy()) for images, labels in batches]
    logits, labels = zip(*pairs, strict=True)
    return np.concatenate(logits), np.concatenate(labels)


def evaluate(model: keras.Model, batches: tf.data.Dataset) -> float:
    """Top-1 accuracy, 0..1, of a model with `"logits"` among its outputs."""
    logits, labels = predict(model, batches)
    return float(np.mean(logits.argmax(-1) == labels))


def confusion(model: keras.Model, batches: tf.data.Dataset) -> np.ndarray:
    """How often which class is taken for which: int64 `[classes, classes]`, true class first."""
    logits, labels = predict(model, batches)
    counts = np.zeros((logits.shape[-1],) * 2, np.int64)
    np.add.at(counts, (labels, logits.argmax(-1)), 1)
    return counts


class Trainer:
    """One model, its optimizer and how far they have come; saved and restored as one file.

    It trains under the `tf.distribute` strategy in whose scope it is made. Losses and gradients are
    means over the whole batch, whatever it is spread over.

    Args:
        model: the model to train, in place; made in the same scope.
        objective: what to minimise.
        recipe: how.
        steps_per_epoch: steps that one epoch has.
        checkpoint: the file that holds the state, see `checkpoints`; none is kept by default.
        checkpoint_seconds: the state is written after each epoch, and within one when so many
            seconds have passed, unless that takes more than `CHECKPOINT_SHARE` of the time.
        settings: everything that the result depends on, JSON-able; the recipe by default. A
            checkpoint that was written with others is refused.
        sync_batch_norm: whether batch norms see the whole batch and not their replica's slice,
            where there are several.
        jit_compile: whether XLA compiles the step.
        state: further variables that are saved and restored with the model's, by name.
        after_step: called after each step with its figures; may change `state`.

    Attributes:
        step: function of one batch's images and labels that trains the model by one step and
            returns the loss and the objective's scalars; `fit` calls it.
        history: per finished epoch the mean of each figure.

    Raises:
        records.SettingsChangedError: the checkpoint was written with other settings.
    """

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        recipe: Recipe,
        steps_per_epoch: int,
        checkpoint: str | os.PathLike | None = None,
        settings: Mapping[str, Any] | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        sync_batch_norm: bool = True,
        jit_compile: bool = False,
        state: Mapping[str, keras.Variable] = MappingProxyType({}),
        after_step: Callable[[Mapping[str, float]], None] = lambda figures: None,
    ):
        self.model = model
        self.strategy = tf.distribute.get_strategy()
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.checkpoints = Checkpoints(checkpoint) if checkpoint else None
        self.checkpoint_seconds = checkpoint_seconds
        self.settings = settings or {"recipe": dataclasses.asdict(recipe)}
        self.history: list[dict[str, Any]] = []
        self._epoch = _Epoch()
        self._state = dict(state)
        self._after_step = after_step
        self._next_save = time.monotonic() + checkpoint_seconds
        self.optimizer = keras.optimizers.SGD(
            recipe.learning_rates(steps_per_epoch), momentum=recipe.momentum
        )
        if any(layer.compute_dtype == "float16" for layer in model.layers):
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
        self.optimizer.build(model.trainable_variables)
        for layer in model.layers:
            if isinstance(layer, BatchNorm):
                layer.synchronized = sync_batch_norm and self.strategy.num_replicas_in_sync > 1
        self.step = self._make_step(objective, jit_compile)
        if self.checkpoints:
            self._restore()

    def _make_step(self, objective, jit_compile):
        trained = self.model.trainable_variables
        replicas = self.strategy.num_replicas_in_sync
        weight_decay = self.recipe.weight_decay / replicas  # the optimizer sums over replicas
        decays = [0.0 if keys.is_gate(v.path) else weight_decay for v in trained]

        def on_replica(images, labels):
            scale = self.optimizer.scale_loss(1.0)  # not 1 where half precision needs more
            with tf.GradientTape() as tape:
                loss, metrics = objective(self.model, images, labels)
                share = loss * (scale / replicas)
            gradients = tape.gradient(share, [v.value for v in trained])
            decayed = [
                g + (decay * scale) * v
                for g, v, decay in zip(gradients, trained, decays, strict=True)
            ]
            self.optimizer.apply_gradients(zip(decayed, trained, strict=True))
            return {"loss": loss, **metrics}

        if jit_compile or not tf.distribute.has_strategy():
            on_replica = tf.function(on_replica, jit_compile=jit_compile)

        def step(images, labels):
            figures = self.strategy.run(on_replica, (images, labels))
            mean = tf.distribute.ReduceOp.MEAN
            return {name: self.strategy.reduce(mean, v, axis=None) for name, v in figures.items()}

        return tf.function(step) if tf.distribute.has_strategy() else on_replica

    def _distributed(self, batches: Batches, epoch: int, skip: int):
        """The batches of an epoch, each cut into a slice per replica."""
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
        """Trains for the steps that are still to do.

        Args:
            batches: called with the keywords `epoch`, its number from 0, `skip`, how many of its
                first batches to leave out, and `share`, which slices of a batch to give; returns
                the rest of the epoch's batches of images and labels.
            validate: called after each epoch for figures to record with it; the state with the
                highest "validation_accuracy" among them is kept as the best.
            observe: called after each epoch for what else to keep of it in the history, JSON-able;
                callbacks are not shown it.
            stop: called after each epoch with the history; whether to leave it at that.
            callbacks: Keras callbacks.

        Returns:
            Per epoch the mean of each figure, those of earlier runs included.

        Raises:
            NonFiniteLossError: names step and learning rate; the last good state is kept.
            TailorError: a state cannot be written.
        """
        hooks = keras.callbacks.CallbackList(
            list(callbacks),
            model=self.model,
            epochs=self.recipe.epochs,
            steps=self.steps_per_epoch,
            verbose=1 if sys.stdout.isatty() else 2,  # Keras: a bar, or a line per epoch
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
        self._after_step(figures)
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
                f"{float(self.optimizer.learning_rate):.3g}; the last state that was "
                "written is kept. Begin this phase anew with a lower learning rate."
            )

    def _changing(self) -> dict[str, keras.Variable]:
        """The weights that training changes; frozen universal ones are kept elsewhere."""
        found = weights.variables(self.model).items()
        return {key: v for key, v in found if v.trainable or keys.is_statistic(key)}

    def _other_variables(self) -> dict[str, keras.Variable]:
        found = {f"optimizer/{i}": v for i, v in enumerate(self.optimizer.variables)}
        return found | {f"state/{name}": v for name, v in self._state.items()}

    def _save(self, *, best: bool = False) -> None:
        if not self.checkpoints:
            return
        started = time.monotonic()
        state = {**self._changing(), **self._other_variables()}
        tensors = {key: np.array(variable) for key, variable in state.items()}
        if not all(np.isfinite(value).all() for value in tensors.values()):
            if len(self.history) == self.recipe.epochs:
                self._check_finite(math.nan)  # of the step that will not come
            return  # the next loss will say so
        metadata = {
            "settings": self.settings,
            "history": self.history,
            "epoch": dataclasses.asdict(self._epoch),
        }
        self.checkpoints.save(tensors, metadata, best=best)
        now = time.monotonic()
        self._next_save = now + max(self.checkpoint_seconds, (now - started) / CHECKPOINT_SHARE)

    def _restore(self) -> None:
        found = self.checkpoints.read()
        if found is None:
            return
        tensors, metadata = found
        path = self.checkpoints.newest
        check_same_settings(path, metadata.get("settings", {}), self.settings)
        changing = self._changing()
        weights.assign(self.model, tensors, origin=str(path), wanted=changing.__contains__)
        for key, variable in self._other_variables().items():
            variable.assign(tensors[key])
        self.history = metadata["history"]
        self._epoch = _Epoch(**metadata.get("epoch", {}))


@dataclasses.dataclass
class _Epoch:
    """How far an epoch has come: steps, sums of the figures over them, seconds."""

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
