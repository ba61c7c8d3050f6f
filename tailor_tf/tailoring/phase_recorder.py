"""Records of phases: what their networks are measured to do, without any training."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.data.batches import evaluation_batches, training_batches
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.method.distillation import divergence
from tailor_tf.method.importance import left_out, removal_order
from tailor_tf.method.losses import cross_entropy
from tailor_tf.method.pruning import Pruning
from tailor_tf.method.student import Student
from tailor_tf.network.architecture import Path
from tailor_tf.network.cost import Cost
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import EpochRecord, ExamplesRecord, PhaseRecord
from tailor_tf.records.store import Records
from tailor_tf.tailoring.examples import choose_examples
from tailor_tf.training import evaluation, statistics

EVALUATION_BATCH = 256
VARIANCE_IMAGES = 512  # training images on which the variance of nodes is measured
STATISTICS_BATCHES, STATISTICS_BATCH = 32, 32  # of training images, for a pruned network
RANKING_IMAGES = 256  # training images on which the loss without a block is measured

Stop = Callable[[Sequence[float]], bool]  # validation accuracies of all epochs -> whether to stop


def never(curve: Sequence[float]) -> bool:
    """Never stops a training: it runs to its last epoch."""
    return False


class PhaseRecorder:
    """Measures the networks of one task and writes their records.

    Args:
        task: the task with its images.
        records: the records of the working directory.
        seed: seed of the order of the images and of their augmentation.
    """

    def __init__(self, task: Task, records: Records, *, seed: int):
        self.task = task
        self.records = records
        self.seed = seed

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

    def judge(
        self,
        phase: Phase,
        student: Student,
        pruning: Pruning,
        settings: Mapping[str, Any],
        cost: Cost,
    ) -> None:
        """Writes the record of a pruning without making the network, if it has none.

        The other paths are left out of the student, and its batch norms get the statistics of what
        is left, for this measurement alone.

        Args:
            phase: the phase of the pruning.
            student: a student that computes well without these paths.
            pruning: the paths that remain.
            settings: all settings that the phase depends on, as JSON values.
            cost: cost of the pruned network.
        """
        if self.finished(phase, settings):
            return
        kept = set(pruning.architecture.paths)
        others = [path for path in student.architecture.paths if path not in kept]
        with left_out(student, others), statistics.kept(student.model):
            self.estimate_statistics(student.model)
            gates = student.gate_values()
            record = PhaseRecord(
                seconds=0.0,
                accuracy={},
                confusion={},
                cost=cost,
                architecture=pruning.architecture,
                gates={path: gates[path] for path in pruning.architecture.paths},
                settings=settings,
                restored=pruning.restored,
            )
            self.records.write_phase(
                phase, self._measured(record, student.model, self.task.validation)
            )

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

    def accuracy(self, model: keras.Model, split: Split) -> float:
        """Top-1 accuracy of a model on a split, 0..1."""
        return evaluation.evaluate(model, self._batches(split))

    def node_variances(self, model: keras.Model) -> list[float]:
        """Variance of each node of a model over some training images, without augmentation."""
        return evaluation.node_variances(model, self._batches(self._some(VARIANCE_IMAGES)))

    def estimate_statistics(self, model: keras.Model) -> None:
        """Sets the moving statistics of a pruned network to those of training images, in place."""
        batches = training_batches(
            self.task.train,
            self.task.preprocessing,
            batch_size=min(STATISTICS_BATCH, len(self.task.train)),
            seed=self.seed,
            epoch=0,
        )
        statistics.estimate_statistics(model, batches.take(STATISTICS_BATCHES))

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
