"""The whole job for one task: teacher, student, prune, fine-tune, select (NetTailor, section 3)."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras

from tailor_tf.backbones.universal import Universal
from tailor_tf.data import Task
from tailor_tf.method import distillation, selection, student
from tailor_tf.method.baselines import BASELINES
from tailor_tf.method.compaction import compact
from tailor_tf.method.complexity import DrivenWeight
from tailor_tf.method.folding import fold
from tailor_tf.method.levels import Levels, amounts
from tailor_tf.method.task_pack import Tailored, save_task_pack
from tailor_tf.network import costs, keys, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.latencies import Latencies
from tailor_tf.records.records import Level, standard_error
from tailor_tf.report import writer
from tailor_tf.support.errors import TailorError
from tailor_tf.tailoring.phase_settings import PhaseSettings, describe
from tailor_tf.tailoring.phases import Callbacks, Phases, forgotten, no_callbacks, phase_index
from tailor_tf.tailoring.settings import COMPLEXITY_WEIGHT, Settings
from tailor_tf.training import loop

METHODS = ("nettailor", "finetune", *BASELINES)


class Meter(Protocol):
    """What measures latencies on this machine, such as `export.meter.Meter`.

    Attributes:
        latencies: those of all pieces of the networks over a universal network.
        measured_on: what they hold for.
    """

    latencies: Latencies
    measured_on: Mapping[str, str]

    def measure(self, network: keras.Model) -> float:
        """Latency of a network from images to logits for one image, milliseconds."""


class Run:
    """One task's run over a universal network, in one working directory.

    Every phase leaves a record and a checkpoint, and a finished phase is read from them instead of
    being run again; an unfinished one goes on at its last checkpoint.

    Args:
        universal: the universal network; not changed.
        task: the images.
        workdir: where everything lands.
        settings: how to do it.
        callbacks: Keras callbacks per phase, called with "teacher", "student" or "finetuned_6".
        meter: measures latencies, which the settings may ask for.
        **options: of `loop.Trainer`: `checkpoint_seconds`, `sync_batch_norm`, `jit_compile`.
    """

    def __init__(
        self,
        universal: Universal,
        task: Task,
        workdir: str | os.PathLike,
        settings: Settings | None = None,
        callbacks: Callbacks = no_callbacks,
        meter: Meter | None = None,
        **options: Any,
    ):
        self.universal = universal
        self.task = task
        self.workdir = pathlib.Path(workdir)
        self.settings = settings or Settings()
        self.phases = Phases(task, workdir, self.settings.seed, callbacks, **options)
        self._models: dict[str, keras.Model] = {}
        self._numbers = self.settings.levels(universal.graph.num_blocks)
        self.full = Architecture.full(universal.graph.num_blocks, self.settings.max_skip)
        self._tuned: dict[Level, float] = {}  # validation accuracies, in the order tuned
        self._starts: dict[Level, Level | None] = {}  # what a level was pruned from
        self._meter = meter
        self._latencies = self._measured_latencies()
        self._check_budget()

    def check(self, method: str = "nettailor", redo: str | None = None) -> None:
        """Refuses a working directory that other settings have begun, before anything is written.

        Args:
            method: one of `METHODS`; what belongs to others alone is not looked at.
            redo: the phase that is about to be begun anew; it and later ones are not looked at.

        Raises:
            TailorError: an unknown phase.
            records.SettingsChangedError: names the file and the settings that differ.
        """
        if method in BASELINES:
            settings = {method: self._depends_on.baseline()}
        else:
            settings = {"teacher": self._depends_on.teacher()}
        if method == "nettailor":
            settings["student"] = self._depends_on.student()
            names = [level.name for level in self._numbers]
            settings |= {f"pruned_{name}": self._depends_on.pruning() for name in names}
            settings |= {f"finetuned_{name}": self._depends_on.finetuning() for name in names}
        anew = forgotten(redo) if redo else ()
        kept = {name: wanted for name, wanted in settings.items() if not name.startswith(anew)}
        self.phases.check(kept)

    def run(self, until: str = "finetune") -> "Result | None":
        """Runs the phases up to `until` that have not run yet.

        Args:
            until: the last phase to run, one of `phases.PHASES`.

        Returns:
            The result, or `None` if `until` is an earlier phase than fine-tuning.

        Raises:
            TailorError: an unknown phase.
            records.SettingsChangedError: the directory was made with other settings.
            loop.NonFiniteLossError: training diverged.
        """
        last = phase_index(until)
        if last == 0:
            self.teacher()
        elif last == 1:
            self.student()
        elif last == 2:
            for level in self._numbers:
                self.pruned(level)
        else:
            return self.result()
        return None

    def teacher(self) -> keras.Model:
        """The universal network fine-tuned, all weights, on the task."""
        if "teacher" not in self._models:
            recipe = self.settings.teacher
            keras.utils.set_random_seed(self.settings.seed)
            model = student.build_teacher(self.universal, self.task.num_classes)
            objective = loop.classification(recipe)
            self._record_run()
            cost = self._network_cost
            self.phases.train("teacher", model, objective, recipe, self._depends_on.teacher(), cost)
            model.trainable = False
            self._models["teacher"] = model
        return self._models["teacher"]

    def student(self) -> keras.Model:
        """The student with all paths, its gates trained."""
        if "student" not in self._models:
            keras.utils.set_random_seed(self.settings.seed)
            model = student.build_student(self.universal, self.full, self.task.num_classes)
            # Not in the paper: its classifier starts at random, though it learns the same logits.
            weights.assign(
                model,
                weights.variables(self.teacher()),
                origin="the teacher",
                wanted=keys.is_head,
            )
            weight, options = self.settings.complexity_weight, {}
            if weight is None:
                driven = self._driven_weight()
                weight = driven.variable
                options = {
                    "state": driven.state,
                    "after_step": lambda figures: driven.update(figures["complexity"]),
                }
            self.phases.train(
                "student",
                model,
                self._objective(self.full, weight),
                self.settings.student,
                self._depends_on.student(),
                self._student_cost(self.full),
                self.full,
                **options,
            )
            self._models["student"] = model
        return self._models["student"]

    @functools.cached_property
    def levels(self) -> Levels:
        """To what the trained student can be pruned."""
        gates = student.gate_values(self.student(), self.full)
        return Levels(self.full, gates, self.settings.proxy_threshold, self._student_cost)

    def pruned(self, level: Level) -> keras.Model:
        """The student pruned to a level, before fine-tuning.

        It starts from the leanest level already tuned that has all of its paths, or else from the
        student with all paths.
        """
        kept = self.levels.pruning(level)
        start = self._starts.setdefault(level, self.levels.nearest(level, self._tuned))
        before = self.levels.pruning(start).architecture if start else self.full
        trained = self.finetuned(start) if start else self.student()
        keras.utils.set_random_seed(self.settings.seed)
        model = student.prune_student(trained, self.universal, before, kept.architecture)
        name, settings = f"pruned_{level.name}", self._depends_on.pruning()
        cost = self._student_cost(kept.architecture)
        if not self.phases.finished(name, settings, cost):
            restored = [path.as_list() for path in kept.restored]
            self.phases.record(name, model, settings, cost, kept.architecture, restored=restored)
        return model

    def finetuned(self, level: Level, goal: float = 0.0) -> keras.Model:
        """A pruned student, fine-tuned without the complexity term.

        Args:
            level: how much to prune.
            goal: validation accuracy, 0..1; training is left when it is out of reach.
        """
        name, recipe = f"finetuned_{level.name}", self.settings.finetune
        if name not in self._models:
            model = self.pruned(level)
            architecture = self.levels.pruning(level).architecture
            self.phases.train(
                name,
                model,
                self._objective(architecture, 0.0),
                recipe,
                self._depends_on.finetuning(),
                self._student_cost(architecture),
                architecture,
                stop=functools.partial(self._is_hopeless, goal),
            )
            self._models[name] = model
        return self._models[name]

    def _driven_weight(self) -> DrivenWeight:
        recipe = self.settings.student
        steps = recipe.epochs * max(len(self.task.train) // recipe.batch_size, 1)
        return DrivenWeight(COMPLEXITY_WEIGHT, self._complexity_target, steps)

    @property
    def _complexity_target(self) -> float | None:
        """E[C] at which a student has what the budget leaves to its paths, if driven there."""
        if self.settings.complexity_weight is not None:
            return None
        count, graph = self.settings.complexity, self.universal.graph
        none = self._student_cost(Architecture(graph.num_blocks, ()))
        whole = costs.universal_complexity(graph, count, self._latencies)
        return (self.settings.budget[count] - getattr(none, count)) / whole

    def _is_hopeless(self, goal: float, history: Sequence[Mapping[str, float]]) -> bool:
        curves = [_curve(self._finetuning_history(level)) for level in self._tuned]
        whole = [curve for curve in curves if len(curve) == self.settings.finetune.epochs]
        margin = self._margin(goal)
        return bool(history) and selection.hopeless(_curve(history), whole, goal, margin)

    def _margin(self, goal: float) -> float:
        """What chance does to a validation accuracy that is near the goal."""
        return standard_error(min(max(goal, 0.0), 1.0), len(self.task.validation))

    def _finetuning_history(self, level: Level) -> list[dict[str, float]]:
        return self.phases.records.read(f"finetuned_{level.name}")["history"]

    def baseline(self, method: str) -> keras.Model:
        """A network to compare with, trained and its test accuracy measured.

        Args:
            method: "finetune", which is the teacher, or one of `baselines.BASELINES`.

        Raises:
            TailorError: an unknown method.
            records.SettingsChangedError: the directory was made with other settings.
            loop.NonFiniteLossError: training diverged.
        """
        if method == "finetune":
            model, name = self.teacher(), "teacher"
        elif method in BASELINES:
            model, name = self._trained_baseline(method), method
        else:
            known = ", ".join(METHODS[1:])
            raise TailorError(f"Unknown method {method!r} to compare with; known are {known}.")
        self.phases.add_test_results(name, lambda: model)
        return model

    def _trained_baseline(self, method: str) -> keras.Model:
        recipe = self.settings.baseline
        keras.utils.set_random_seed(self.settings.seed)
        model = BASELINES[method](self.universal, self.task.num_classes)
        self.phases.train(
            method,
            model,
            loop.classification(recipe),
            recipe,
            self._depends_on.baseline(),
            costs.baseline_cost(model, self.universal.graph.num_blocks),
        )
        return model

    def result(self) -> "Result":
        """Fine-tunes levels until one is chosen, and writes pack and report.

        The choice is made on validation images; test images are looked at when it is made.

        Raises:
            TailorError: pruning reaches no network within the budget.
        """
        self.teacher()
        selected = self._select()
        chosen = selected.chosen
        self._measure_on_test(chosen)
        self.phases.add_examples(f"finetuned_{chosen.name}", self.finetuned(chosen))
        tailored = Tailored(
            name=self.task.name,
            classes=self.task.classes,
            preprocessing=self.task.preprocessing,
            architecture=self.levels.pruning(chosen).architecture,
            student=self.finetuned(chosen),
            universal=self.universal,
        )
        save_task_pack(self.workdir / "task_pack.safetensors", tailored)
        self._record_selection(selected, tailored)  # last: it says that the run is finished
        return Result(tailored, writer.write(self.workdir), selected.within_tolerance)

    def _select(self) -> selection.Selection:
        goal = 0.0
        if self.settings.tolerance is not None:
            teachers = self.phases.validation_accuracy("teacher")
            goal = teachers - self.settings.tolerance / 100
        accuracy = functools.partial(self._tuned_accuracy, goal=goal)
        budget = self.settings.budget
        if self.settings.prune_blocks is not None:
            return selection.first_within(self._numbers, self._tuned_accuracy, goal)
        largest_first = self._numbers[::-1]
        if self.settings.tolerance is None:
            return self.levels.most_accurate(largest_first, budget, accuracy)
        return self.levels.leanest(largest_first, budget, accuracy, goal, self._margin(goal))

    def _tuned_accuracy(self, level: Level, goal: float = 0.0) -> float:
        self.finetuned(level, goal)
        self._tuned[level] = self.phases.validation_accuracy(f"finetuned_{level.name}")
        return self._tuned[level]

    def _measured_latencies(self) -> Latencies | None:
        """Those that the run began with, if of this machine, so that it goes on with the same."""
        if self._meter is None:
            if self.settings.needs_latency:
                raise TailorError(
                    "Latency is asked for and nothing is there to measure it; expected a meter, "
                    "such as export.latency.Meter."
                )
            return None
        found = self.phases.records.read("latencies")
        if found and found["measured_on"] == self._meter.measured_on:
            return Latencies.of_record(found)
        return self._meter.latencies

    def _check_budget(self) -> None:
        for count, most in self.settings.budget.items():
            least = costs.smallest(
                self.universal.graph, self.full, self.task.num_classes, count, self._latencies
            )
            if most < least:
                raise TailorError(
                    f"The budget is {amounts({count: most})}; stem, classifier and the cheapest "
                    f"way between them have {amounts({count: least})} already."
                )

    def _objective(self, architecture: Architecture, complexity_weight: float | keras.Variable):
        graph = self.universal.graph
        if "folded_teacher" not in self._models:
            self._models["folded_teacher"] = fold(self.teacher())
        return distillation.StudentObjective(
            self._models["folded_teacher"],
            architecture,
            costs.path_shares(graph, architecture, self.settings.complexity, self._latencies),
            complexity_weight=complexity_weight,
            teacher_weight=self.settings.teacher_weight,
            estimator=self.settings.estimator,
            teacher_gradient=self.settings.teacher_gradient,
        )

    def _student_cost(self, architecture: Architecture) -> costs.Cost:
        return costs.student_cost(
            self.universal.graph, architecture, self.task.num_classes, self._latencies
        )

    @property
    def _network_cost(self) -> costs.Cost:
        return costs.network_cost(self.universal.graph, self.task.num_classes, self._latencies)

    @property
    def _depends_on(self) -> PhaseSettings:
        return PhaseSettings(
            self.universal,
            self.task,
            self.settings,
            complexity_target=self._complexity_target,
            measured_on=self._meter and self._meter.measured_on,
        )

    def _measure_on_test(self, chosen: Level) -> None:
        models = {
            "teacher": self.teacher,
            "student": self.student,
            f"pruned_{chosen.name}": functools.partial(self.pruned, chosen),
            f"finetuned_{chosen.name}": functools.partial(self.finetuned, chosen),
        }
        for name, model in models.items():
            self.phases.add_test_results(name, model)

    def _record_run(self) -> None:
        complexities = costs.path_complexities(
            self.universal.graph, self.full, self.settings.complexity, self._latencies
        )
        described = describe(
            self.universal, self.task, self.settings, self._network_cost, complexities
        )
        self.phases.records.write("run", described)
        if self._latencies:
            self.phases.records.write("latencies", dataclasses.asdict(self._latencies))

    def _record_selection(self, selected: selection.Selection, tailored: Tailored) -> None:
        latency = None
        if self._meter:
            network = compact(tailored.student, self.universal.graph, tailored.architecture)
            latency = {
                "predicted_ms": self._latencies.student(tailored.architecture),
                "measured_ms": self._meter.measure(network),
                "measured_on": dict(self._meter.measured_on),
            }
        self.phases.records.write(
            "selection",
            {
                "levels": [level.name for level in selected.tried],
                "chosen": selected.chosen.name,
                "within_tolerance": selected.within_tolerance,
                "latency": latency,
            },
        )


def _curve(history: Sequence[Mapping[str, float]]) -> list[float]:
    return [epoch["validation_accuracy"] for epoch in history]


@dataclasses.dataclass(frozen=True)
class Result:
    """What a finished run gives.

    Attributes:
        tailored: the tailored network.
        table: the report's table, Markdown.
        within_tolerance: whether the network is as accurate as asked for.
    """

    tailored: Tailored
    table: str
    within_tolerance: bool


def tailor(
    universal: Universal,
    task: Task,
    workdir: str | os.PathLike,
    settings: Settings | None = None,
    **options: Any,
) -> Result:
    """Tailors a universal network to a task: runs what is missing in `workdir`, all phases.

    Args are those of `Run`. Raises what `Run.run` raises.
    """
    return Run(universal, task, workdir, settings, **options).result()
