"""Networks of a run's phases; each is made from the network before and trained once."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.method import student as students
from tailor_tf.method.baselines import BASELINES
from tailor_tf.method.complexity import DrivenWeight
from tailor_tf.method.distillation import StudentObjective
from tailor_tf.method.folding import fold
from tailor_tf.method.pruning import Pruning
from tailor_tf.method.sandwich import SandwichObjective
from tailor_tf.method.student import Student
from tailor_tf.network import costs, keys, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.records import phase as names
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.tailoring.phase_settings import PhaseSettings
from tailor_tf.tailoring.phase_trainer import PhaseTrainer, Stop, never
from tailor_tf.tailoring.run_costs import RunCosts
from tailor_tf.tailoring.settings import COMPLEXITY_WEIGHT, Settings
from tailor_tf.training.objective import Classification

PROBE_SHARE = 0.25  # of the epochs of the student


@dataclasses.dataclass(frozen=True)
class LevelPlan:
    """Plan of a level: the network to prune, and the paths that remain.

    Attributes:
        level: the level.
        pruning: the remaining paths.
        start: plan of the tuned level that is pruned; `None` for the student with all paths.
        together: the paths of all levels that are trained together before this one is pruned; empty
            if they are not.
    """

    level: Level
    pruning: Pruning
    start: "LevelPlan | None" = None
    together: tuple[Architecture, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Phases:
    """Makes the networks of a run's phases: trains them, or reads those that are finished.

    Attributes:
        universal: the universal network; not changed.
        settings: settings of the run.
        depends_on: all settings that the result of each phase depends on.
        costs: costs of the run's networks.
        trainer: trains the model of a phase and writes its record.
    """

    universal: Universal
    settings: Settings
    depends_on: PhaseSettings
    costs: RunCosts
    trainer: PhaseTrainer
    _made: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def _num_classes(self) -> int:
        return self.costs.num_classes

    def teacher(self) -> keras.Model:
        """The teacher: the universal network, as deep as its student, all its weights fine-tuned.

        Its classifier stands behind the last layer of the student.
        """
        if names.TEACHER not in self._made:
            full = self.costs.full
            model = self._fine_tuned(names.TEACHER, full.depth, full.head_channels)
            model.trainable = False
            self._made[names.TEACHER] = model
        return self._made[names.TEACHER]

    def probe(self, depth: int) -> None:
        """Trains the first `depth` universal blocks for a part of the student's epochs.

        The weights that are trained are those that a student owns: the network is a student
        without proxies.
        """
        phase, recipe = names.probe(depth), self.settings.student
        epochs = max(round(PROBE_SHARE * recipe.epochs), 1)
        warmup = min(recipe.warmup_epochs, epochs / 2)
        short = dataclasses.replace(recipe, epochs=epochs, schedule="cosine", warmup_epochs=warmup)
        full = self.costs.at(depth).full
        blocks = full.with_paths(path for path in full.paths if path.universal)
        keras.utils.set_random_seed(self.settings.seed)
        student = students.build_student(self.universal, blocks, self._num_classes)
        self.trainer.train(
            phase,
            Classification(student.model, recipe.label_smoothing),
            short,
            self.depends_on.of(phase),
            self.costs.student(blocks),
        )

    def _fine_tuned(self, phase: Phase, depth: int, head_channels: int = 0) -> keras.Model:
        """The universal network, cut off behind block `depth`, with all its weights fine-tuned."""
        recipe = self.settings.teacher
        keras.utils.set_random_seed(self.settings.seed)
        model = students.build_teacher(
            self.universal, self._num_classes, depth=depth, head_channels=head_channels
        )
        self.trainer.train(
            phase,
            Classification(model, recipe.label_smoothing),
            recipe,
            self.depends_on.of(phase),
            self.costs.network(depth, head_channels),
        )
        return model

    def student(self) -> Student:
        """The student with all paths, its gates trained."""
        if names.STUDENT not in self._made:
            full = self.costs.full
            keras.utils.set_random_seed(self.settings.seed)
            student = students.build_student(self.universal, full, self._num_classes)
            # Not in the paper, where the student's classifier starts at random. But it learns the
            # teacher's logits, so the teacher's classifier is a better start.
            weights.assign(
                student.model,
                weights.variables(self.teacher()),
                origin="the teacher",
                wanted=keys.is_head,
            )
            self.trainer.train(
                names.STUDENT,
                self._objective(student, self._complexity_weight()),
                self.settings.student,
                self.depends_on.of(names.STUDENT),
                self.costs.student(full),
                student=student,
            )
            if self.settings.ranking == "loss":
                shares = self.costs.path_shares(full)
                self.trainer.record_order(names.STUDENT, student, self._folded_teacher()[0], shares)
            self._made[names.STUDENT] = student
        return self._made[names.STUDENT]

    def sandwich(self, levels: Sequence[Architecture]) -> Student:
        """A copy of the student, trained together with the networks that it is pruned to.

        Args:
            levels: the paths of each of these networks.
        """
        if names.SANDWICH not in self._made:
            trained = self.student()
            keras.utils.set_random_seed(self.settings.seed)
            student = students.prune_student(trained, trained.architecture)
            subnets = [students.subnet(student, level) for level in levels]
            shares = [self.costs.student(subnet.architecture).multiply_adds for subnet in subnets]
            objective = SandwichObjective(
                self._objective(student, 0.0),
                [self._objective(subnet, 0.0) for subnet in subnets],
                shares,
                self.settings.seed,
            )
            self.trainer.train(
                names.SANDWICH,
                objective,
                self.settings.sandwich,
                self.depends_on.of(names.SANDWICH),
                self.costs.student(student.architecture),
                student=student,
            )
            self._made[names.SANDWICH] = student
        return self._made[names.SANDWICH]

    def judge(self, plan: LevelPlan) -> None:
        """Records how accurate a level is that was trained together with others."""
        phase = names.pruned(plan.level)
        self.trainer.judge(
            phase,
            self.sandwich(plan.together),
            plan.pruning,
            self.depends_on.of(phase),
            self.costs.student(plan.pruning.architecture),
        )

    def pruned(self, plan: LevelPlan) -> Student:
        """The student pruned to a level, before fine-tuning; a new student at each call."""
        phase, kept = names.pruned(plan.level), plan.pruning.architecture
        if plan.together:
            trained = self.sandwich(plan.together)
        else:
            trained = self.finetuned(plan.start) if plan.start else self.student()
        keras.utils.set_random_seed(self.settings.seed)
        student = students.prune_student(trained, kept)
        if plan.together:
            self.trainer.estimate_statistics(student.model)
        self.trainer.record_pruning(
            phase,
            student,
            self.depends_on.of(phase),
            self.costs.student(kept),
            plan.pruning.restored,
        )
        return student

    def finetuned(self, plan: LevelPlan, stop: Stop = never) -> Student:
        """A pruned student, fine-tuned without the complexity term.

        Args:
            plan: the plan of the level.
            stop: from the validation accuracies of all epochs to whether to stop training.

        Raises:
            NonFiniteLossError: the loss did not stay finite, also in a second try at a third of the
                learning rate and with clipped gradients.
        """
        phase = names.finetuned(plan.level)
        if phase not in self._made:
            student = self.pruned(plan)
            self.trainer.train(
                phase,
                self._objective(student, 0.0),
                self.settings.finetune,
                self.depends_on.of(phase),
                self.costs.student(student.architecture),
                student=student,
                stop=stop,
                tries=2,
            )
            self._made[phase] = student
        return self._made[phase]

    def baseline(self, phase: Phase) -> keras.Model:
        """A trained network to compare with; `phase` is one of a baseline.

        A truncated network is a shorter teacher: all its weights are trained, as the teacher's are.
        """
        if phase.kind == names.TRUNCATE:
            return self._fine_tuned(phase, phase.depth)
        recipe = self.settings.baseline
        keras.utils.set_random_seed(self.settings.seed)
        model = BASELINES[phase.kind](self.universal, self._num_classes)
        self.trainer.train(
            phase,
            Classification(model, recipe.label_smoothing),
            recipe,
            self.depends_on.of(phase),
            costs.baseline_cost(model, self.universal.graph.num_blocks),
        )
        return model

    def _complexity_weight(self) -> float | DrivenWeight:
        recipe, task = self.settings.student, self.trainer.task
        if self.settings.complexity_weight is not None:
            return self.settings.complexity_weight
        steps = recipe.epochs * max(len(task.train) // recipe.batch_size, 1)
        return DrivenWeight(COMPLEXITY_WEIGHT, self.costs.complexity_target(), steps=steps)

    def _objective(
        self, student: Student, complexity_weight: float | DrivenWeight
    ) -> StudentObjective:
        teacher, variances = self._folded_teacher()
        return StudentObjective(
            student,
            teacher,
            self.costs.path_shares(student.architecture),
            complexity_weight=complexity_weight,
            teacher_weight=self.settings.teacher_weight,
            estimator=self.settings.estimator,
            teacher_gradient=self.settings.teacher_gradient,
            node_variances=variances,
            logit_errors=self.settings.logit_errors,
        )

    def _folded_teacher(self) -> tuple[keras.Model, list[float] | None]:
        """The teacher for the student's objective, and the variances of its nodes if needed."""
        if "folded teacher" not in self._made:
            folded, variances = fold(self.teacher()), None
            if self.settings.node_errors == "relative":
                variances = self.trainer.node_variances(folded)
            self._made["folded teacher"] = folded, variances
        return self._made["folded teacher"]
