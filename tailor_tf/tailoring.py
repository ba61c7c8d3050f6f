"""The whole job for one task: teacher, student, prune, fine-tune, select (NetTailor, section 3)."""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import keras

from tailor_tf import costs, distillation, pruning, report, student, training
from tailor_tf.backbones import weights
from tailor_tf.backbones.universal import Universal
from tailor_tf.baselines import BASELINES
from tailor_tf.data import Task
from tailor_tf.errors import TailorError
from tailor_tf.folding import fold
from tailor_tf.graph import Architecture
from tailor_tf.phases import Callbacks, Phases, forgotten, no_callbacks, phase_index
from tailor_tf.selection import Selection, leanest
from tailor_tf.settings import Settings
from tailor_tf.task_pack import Tailored, save_task_pack

METHODS = ("nettailor", "finetune", *BASELINES)


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
        **options: of `training.Trainer`: `checkpoint_seconds`, `sync_batch_norm`, `jit_compile`.
    """

    def __init__(
        self,
        universal: Universal,
        task: Task,
        workdir: str | os.PathLike,
        settings: Settings | None = None,
        callbacks: Callbacks = no_callbacks,
        **options: Any,
    ):
        self.universal = universal
        self.task = task
        self.workdir = pathlib.Path(workdir)
        self.settings = settings or Settings()
        self.phases = Phases(task, workdir, self.settings.seed, callbacks, **options)
        self._models: dict[str, keras.Model] = {}
        self.levels = self.settings.levels(universal.graph.num_blocks)
        self.full = Architecture.full(universal.graph.num_blocks, self.settings.max_skip)

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
            settings = {method: self._baseline_settings()}
        else:
            settings = {"teacher": self._teacher_settings()}
        if method == "nettailor":
            settings["student"] = self._student_settings()
            settings |= {f"pruned_{level}": self._pruning_settings() for level in self.levels}
            settings |= {f"finetuned_{level}": self._finetuning_settings() for level in self.levels}
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
            training.NonFiniteLossError: training diverged.
        """
        last = phase_index(until)
        if last == 0:
            self.teacher()
        elif last == 1:
            self.student()
        elif last == 2:
            for level in self.levels:
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
            objective = training.classification(recipe)
            cost = costs.network_cost(self.universal.graph, self.task.num_classes)
            self.phases.train("teacher", model, objective, recipe, self._teacher_settings(), cost)
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
                wanted=student.is_head_weight,
            )
            objective = self._objective(self.full, self.settings.complexity_weight)
            self.phases.train(
                "student",
                model,
                objective,
                self.settings.student,
                self._student_settings(),
                self._student_cost(self.full),
                self.full,
            )
            self._models["student"] = model
        return self._models["student"]

    def pruning(self, level: int) -> pruning.Pruning:
        """What removing `level` universal blocks and the weak proxies leaves."""
        return pruning.prune(
            self.full,
            student.gate_values(self.student(), self.full),
            num_blocks=level,
            proxy_threshold=self.settings.proxy_threshold,
        )

    def pruned(self, level: int) -> keras.Model:
        """The student with `level` universal blocks removed, before fine-tuning."""
        kept = self.pruning(level)
        keras.utils.set_random_seed(self.settings.seed)
        model = student.prune_student(self.student(), self.universal, self.full, kept.architecture)
        name, settings = f"pruned_{level}", self._pruning_settings()
        if not self.phases.records.read_if_same(name, settings):
            restored = [list(path) for path in kept.restored]
            cost = self._student_cost(kept.architecture)
            self.phases.record(name, model, settings, cost, kept.architecture, restored=restored)
        return model

    def finetuned(self, level: int) -> keras.Model:
        """The pruned student, fine-tuned without the complexity term."""
        name, recipe = f"finetuned_{level}", self.settings.finetune
        if name not in self._models:
            model = self.pruned(level)
            architecture = self.pruning(level).architecture
            objective = self._objective(architecture, 0.0)
            cost = self._student_cost(architecture)
            self.phases.train(
                name, model, objective, recipe, self._finetuning_settings(), cost, architecture
            )
            self._models[name] = model
        return self._models[name]

    def baseline(self, method: str) -> keras.Model:
        """A network to compare with, trained and its test accuracy measured.

        Args:
            method: "finetune", which is the teacher, or one of `baselines.BASELINES`.

        Raises:
            TailorError: an unknown method.
            records.SettingsChangedError: the directory was made with other settings.
            training.NonFiniteLossError: training diverged.
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
            training.classification(recipe),
            recipe,
            self._baseline_settings(),
            costs.baseline_cost(model, self.universal.graph.num_blocks),
        )
        return model

    def result(self) -> "Result":
        """Fine-tunes levels until one is within the tolerance, and writes pack and report.

        The choice is made on validation images; test images are looked at when it is made.
        """
        self.teacher()
        goal = self.phases.validation_accuracy("teacher") - self.settings.tolerance / 100
        selection = leanest(self.levels, self._tuned_accuracy, goal)
        chosen = selection.chosen
        self._measure_on_test(chosen)
        tailored = Tailored(
            name=self.task.name,
            classes=self.task.classes,
            preprocessing=self.task.preprocessing,
            architecture=self.pruning(chosen).architecture,
            student=self.finetuned(chosen),
            universal=self.universal,
        )
        save_task_pack(self.workdir / "task_pack.safetensors", tailored)
        self._record_run(selection)  # last: it says that the run is finished
        return Result(tailored, report.write(self.workdir))

    def _tuned_accuracy(self, level: int) -> float:
        self.finetuned(level)
        return self.phases.validation_accuracy(f"finetuned_{level}")

    def _objective(self, architecture: Architecture, complexity_weight: float):
        graph = self.universal.graph
        if "folded_teacher" not in self._models:
            self._models["folded_teacher"] = fold(self.teacher())
        return distillation.StudentObjective(
            self._models["folded_teacher"],
            architecture,
            costs.path_shares(graph, architecture),
            complexity_weight=complexity_weight,
            teacher_weight=self.settings.teacher_weight,
            estimator=self.settings.estimator,
            teacher_gradient=self.settings.teacher_gradient,
        )

    def _student_cost(self, architecture: Architecture) -> costs.Cost:
        return costs.student_cost(self.universal.graph, architecture, self.task.num_classes)

    # What a phase depends on; a record made with anything else is refused.

    def _common_settings(self) -> dict[str, Any]:
        return {
            **self.task.settings(),
            "universal": self.universal.fingerprint,
            "seed": self.settings.seed,
            "precision": keras.config.dtype_policy().name,
        }

    def _teacher_settings(self) -> dict[str, Any]:
        return {**self._common_settings(), "teacher": dataclasses.asdict(self.settings.teacher)}

    def _baseline_settings(self) -> dict[str, Any]:
        return {**self._common_settings(), "baseline": dataclasses.asdict(self.settings.baseline)}

    def _student_settings(self) -> dict[str, Any]:
        names = ("max_skip", "complexity_weight", "teacher_weight", "teacher_gradient", "estimator")
        return {
            **self._teacher_settings(),
            **{name: getattr(self.settings, name) for name in names},
            "student": dataclasses.asdict(self.settings.student),
        }

    def _pruning_settings(self) -> dict[str, Any]:
        threshold = self.settings.proxy_threshold
        return {**self._student_settings(), "proxy_threshold": threshold}

    def _finetuning_settings(self) -> dict[str, Any]:
        return {**self._pruning_settings(), "finetune": dataclasses.asdict(self.settings.finetune)}

    def _measure_on_test(self, chosen: int) -> None:
        models = {
            "teacher": self.teacher,
            "student": self.student,
            f"pruned_{chosen}": functools.partial(self.pruned, chosen),
            f"finetuned_{chosen}": functools.partial(self.finetuned, chosen),
        }
        for name, model in models.items():
            self.phases.add_test_results(name, model)

    def _record_run(self, selection: Selection) -> None:
        graph = self.universal.graph
        cost = costs.network_cost(graph, self.task.num_classes)
        self.phases.records.write(
            "run",
            {
                "task": {
                    "name": self.task.name,
                    "num_classes": self.task.num_classes,
                    "images": self.task.image_counts,
                },
                "universal": {
                    "name": graph.name,
                    "num_blocks": graph.num_blocks,
                    "node_shapes": [graph.node_shape(n) for n in range(graph.num_blocks + 1)],
                    "multiply_adds": cost.multiply_adds,
                    "parameters": cost.parameters,
                },
                "tolerance": self.settings.tolerance,
                "levels": selection.tried,
                "chosen": selection.chosen,
                "within_tolerance": selection.within_tolerance,
            },
        )


@dataclasses.dataclass(frozen=True)
class Result:
    """What a finished run gives.

    Attributes:
        tailored: the tailored network.
        table: the report's table, Markdown.
    """

    tailored: Tailored
    table: str


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
