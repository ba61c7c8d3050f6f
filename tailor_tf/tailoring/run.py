"""A run: teacher, student, pruning, fine-tuning and selection for one task (NetTailor, section 3).

`phases` makes the networks, `level_search` decides which levels are tried and which one is chosen.
"""

import dataclasses
import os
from collections.abc import Callable

from tailor_tf.backbones.universal import Universal
from tailor_tf.data.task import Task
from tailor_tf.method.compaction import compact
from tailor_tf.method.search import Selection
from tailor_tf.method.task_pack import TailoredTask, save_task_pack
from tailor_tf.network import keys
from tailor_tf.network.latencies import Latencies
from tailor_tf.records import phase as names
from tailor_tf.records.phase import Phase
from tailor_tf.records.records import LatencyRecord, SelectionRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import writer
from tailor_tf.support.errors import TailorError
from tailor_tf.tailoring.batch_sizes import check_batch_sizes, recipes_of
from tailor_tf.tailoring.depth_search import DepthSearch
from tailor_tf.tailoring.description import describe
from tailor_tf.tailoring.level_search import LevelSearch
from tailor_tf.tailoring.meter import Meter
from tailor_tf.tailoring.phase_settings import PhaseSettings
from tailor_tf.tailoring.phase_trainer import Callbacks, PhaseTrainer, no_callbacks
from tailor_tf.tailoring.phases import Phases
from tailor_tf.tailoring.redo import kinds_to_forget
from tailor_tf.tailoring.run_costs import RunCosts
from tailor_tf.tailoring.settings import AUTO, Settings
from tailor_tf.training.options import TrainingOptions

METHODS = ("nettailor", "finetune", *names.BASELINES)


@dataclasses.dataclass(frozen=True)
class Result:
    """Result of a finished run.

    Attributes:
        tailored: the tailored network.
        table: the report's table, Markdown.
        within_tolerance: whether the network is as accurate as asked for.
    """

    tailored: TailoredTask
    table: str
    within_tolerance: bool


class Run:
    """Run of one task over a universal network, in one working directory.

    Each phase writes a record and checkpoints. A finished phase is read from them and not run
    again. An unfinished phase continues from its last checkpoint.

    Args:
        universal: the universal network; not changed.
        task: the task with its images.
        workdir: folder for all files of the run.
        settings: settings of the run; the defaults of `Settings` if `None`.
        callbacks: function from a phase to its Keras callbacks.
        meter: measures latencies; required if the settings need them.
        options: options of the training loop.
        make_phases: makes the networks of the phases; tests replace `phases.Phases` by it.

    Raises:
        TailorError: the settings do not fit the universal network, no network is within the
            budget, or latency is asked for without a meter.
    """

    def __init__(
        self,
        universal: Universal,
        task: Task,
        workdir: str | os.PathLike,
        settings: Settings | None = None,
        *,
        callbacks: Callbacks = no_callbacks,
        meter: Meter | None = None,
        options: TrainingOptions | None = None,
        make_phases: Callable[..., Phases] = Phases,
    ):
        self.universal = universal
        self.task = task
        self.workdir = Workdir(workdir)
        self.settings = settings or Settings()
        self.records = Records(self.workdir)
        self._trainer = PhaseTrainer(
            task, self.records, seed=self.settings.seed, callbacks=callbacks, options=options
        )
        self._make_phases = make_phases
        full = self.settings.architecture(universal.graph)
        self._costs = RunCosts(universal.graph, task.num_classes, full, self.settings)
        self._depth_search = self._make_depth_search()
        self._costs = self._costs.at(max(self._depth_search.depths))
        self.settings.levels(self._costs.full.depth)
        self._meter = meter
        if self.settings.needs_latency and meter is None:
            raise TailorError(
                "Latency is asked for and nothing is there to measure it; expected a meter, such "
                "as export.meter.Meter."
            )
        self._phases: Phases | None = None
        self.search: LevelSearch | None = None

    def prepare(self) -> Phases:
        """Measures latencies if necessary, and makes `search`; all methods that run call it first.

        Raises:
            TailorError: no network is within the budget of latency.
            files.FileKindError: a link is in the place of a file or folder of the run.
        """
        if self._phases is None:
            self.workdir.check()
            self._costs = dataclasses.replace(self._costs, latencies=self._measured_latencies())
            self._depth_search = self._make_depth_search()
            self._end_at(self._depth_search.known() or max(self._depth_search.depths))
        return self._phases

    def _make_depth_search(self) -> DepthSearch:
        images = len(self.task.validation)
        return DepthSearch(self.settings, self._costs, self.records, images)

    def _end_at(self, depth: int) -> None:
        """Makes `search` and the phases for networks that end behind block `depth`."""
        self._costs = self._costs.at(depth)
        self._phases = self._make_phases(
            self.universal, self.settings, self._depends_on(), self._costs, self._trainer
        )
        self.search = LevelSearch(
            self.settings, self._costs, self.records, self._phases, len(self.task.validation)
        )

    def settle_depth(self) -> None:
        """Chooses the depth of teacher and student, by short trainings if the settings leave it.

        Raises:
            SettingsChangedError: the directory was made with other settings.
            NonFiniteLossError: the loss is infinite or not a number.
        """
        phases, blocks = self.prepare(), self.universal.graph.num_blocks
        depth = self._depth_search.select(phases)
        if depth < blocks:
            print(f"\n{self.task.name}: the first {depth} of {blocks} blocks", flush=True)
        self._end_at(depth)

    def check(self, method: str = METHODS[0], redo: str | None = None) -> None:
        """Refuses a working directory with other settings, before anything is written.

        Args:
            method: one of `METHODS`; phases of other methods are not checked.
            redo: the stage that will be run again; this stage and later ones are not checked.

        Raises:
            TailorError: an unknown stage, or a truncated network without a depth and a budget.
            SettingsChangedError: settings differ; the message names the file and the settings.
        """
        self.prepare()
        looked_at = [names.TEACHER, *self._depth_search.probes]
        if method in names.BASELINES:
            looked_at = [self.baseline_phase(method)]
        if method == "nettailor":
            levels = self.settings.levels(self._costs.full.depth)
            looked_at += [names.STUDENT, names.SANDWICH]
            looked_at += [
                make(level) for level in levels for make in (names.pruned, names.finetuned)
            ]
        forgotten = self._kinds_to_forget(redo) if redo else ()
        depends_on = self._depends_on()
        self._trainer.check({p: depends_on.of(p) for p in looked_at if p.kind not in forgotten})

    def forget(self, stage: str) -> None:
        """Removes the files of a stage and of all later stages, so that they run again.

        Args:
            stage: one of `phase.STAGES`, or one of `phase.BASELINES`, which has no later stage.

        Raises:
            TailorError: an unknown stage.
        """
        kinds = self._kinds_to_forget(stage)
        if stage not in names.BASELINES:
            self.workdir.forget_result()
        self.workdir.forget(kinds)

    def _kinds_to_forget(self, stage: str) -> tuple[str, ...]:
        depends_on = self._depends_on()
        settings = {phase: depends_on.of(phase) for phase in self._depth_search.probes}
        return kinds_to_forget(stage, self.records, settings)

    def check_batch_sizes(self, method: str = METHODS[0], until: str = "finetune") -> None:
        """Refuses too large batches of all phases at once; see `batch_sizes.recipes_of`.

        Raises:
            TailorError: batches that are larger than the training images, or an unknown stage.
        """
        has_probes, together = bool(self._depth_search.probes), self.settings.trains_together
        used = recipes_of(method, until, has_probes=has_probes, together=together)
        recipes = {f"{name}_batch_size": getattr(self.settings, name) for name in used}
        check_batch_sizes(recipes, len(self.task.train))

    def run(self, until: str = "finetune") -> Result | None:
        """Runs the stages up to `until` that have not run yet.

        Args:
            until: the last stage to run, one of `phase.STAGES`.

        Returns:
            The result, or `None` if `until` is an earlier stage than fine-tuning.

        Raises:
            TailorError: an unknown stage.
            SettingsChangedError: the directory was made with other settings.
            NonFiniteLossError: the loss is infinite or not a number.
        """
        names.stage_index(until)
        if until == "finetune":
            return self.result()
        self.settle_depth()
        self._describe()
        phases = self.prepare()
        if until != "depth":
            phases.teacher()
        if until not in ("depth", "teacher"):
            phases.student()
        if until in ("sandwich", "prune"):
            self.search.train_together()
        if until == "prune":
            self.search.prune()
        return None

    def baseline(self, method: str) -> None:
        """Trains a network to compare with, and measures its test accuracy.

        "truncate" keeps as many blocks as `depth` of the settings says, or by default as many as
        the budget allows; a mean over positions and a classifier follow them.

        Args:
            method: "finetune", which is the teacher, or one of `phase.BASELINES`.

        Raises:
            TailorError: an unknown method, or a truncated network without a depth and a budget.
            SettingsChangedError: the directory was made with other settings.
            NonFiniteLossError: the loss is infinite or not a number.
        """
        if method not in METHODS[1:]:
            raise TailorError(f"Unknown method {method!r}; known are {', '.join(METHODS[1:])}.")
        if method == "finetune":
            self.settle_depth()
        self._describe()
        phases = self.prepare()
        if method == "finetune":
            phase, model = names.TEACHER, phases.teacher()
        else:
            phase = self.baseline_phase(method)
            model = phases.baseline(phase)
        self._trainer.add_test_results(phase, lambda: model)

    def baseline_phase(self, method: str) -> Phase:
        """The phase that trains a network to compare with; `method` is one of `phase.BASELINES`.

        Raises:
            TailorError: a truncated network without a depth and a budget.
        """
        if method != names.TRUNCATE:
            return Phase(method)
        automatic = self.settings.depth == AUTO
        return names.truncated(self._costs.largest_depth() if automatic else self._costs.full.depth)

    def result(self) -> Result:
        """Runs all phases until a level is chosen, and writes task pack and report.

        The choice uses validation images only; test images are used after the choice.

        Raises:
            TailorError: no pruned network is within the budget.
        """
        self.check_batch_sizes()
        self.settle_depth()
        self._describe()
        phases = self.prepare()
        phases.teacher()
        phases.student()
        selected = self.search.select()
        plan = self.search.plan(selected.chosen)
        self._measure_on_test(selected)
        student, chosen = phases.finetuned(plan), names.finetuned(plan.level)
        self._trainer.add_examples(chosen, lambda: student.model)
        tailored = TailoredTask(self.task.info, student)
        save_task_pack(self.workdir.task_pack, tailored)
        self._record_selection(selected, tailored)  # last, as it marks the run as finished
        return Result(tailored, writer.write(self.workdir.path), selected.within_tolerance)

    def _describe(self) -> None:
        """Writes what the run is about."""
        self.prepare()
        self.records.write(describe(self.universal, self.task, self.settings, self._costs))
        if self._costs.latencies:
            self.records.write(self._costs.latencies)

    def _measured_latencies(self) -> Latencies | None:
        """Latencies: from the run's record if it is of this machine, otherwise measured now."""
        if self._meter is None:
            return None
        found = self.records.read(Latencies)
        own_head = keys.exit_behind(1, self.universal.graph.own_head_channels(1))
        complete = found and own_head in found.pieces  # not in earlier versions
        if complete and found.measured_on == self._meter.measured_on:
            return found
        return self._meter.latencies()

    def _depends_on(self) -> PhaseSettings:
        return PhaseSettings(
            self.universal,
            self.task,
            self.settings,
            complexity_target=self._costs.complexity_target(),
            measured_on=self._meter and self._meter.measured_on,
        )

    def _measure_on_test(self, selected: Selection) -> None:
        phases, plan = self.prepare(), self.search.plan(selected.chosen)
        models = {
            names.TEACHER: phases.teacher,
            names.STUDENT: lambda: phases.student().model,
            names.pruned(plan.level): lambda: phases.pruned(plan).model,
        }
        levels = selected.tried if self.settings.test_levels else ()
        for level in dict.fromkeys((selected.chosen, *levels)):
            phase, tuned = names.finetuned(level), self.search.plan(level)
            if level == selected.chosen or self.records.read_phase(phase).is_whole:
                models[phase] = lambda tuned=tuned: phases.finetuned(tuned).model
        for phase, model in models.items():
            self._trainer.add_test_results(phase, model)

    def _record_selection(self, selected: Selection, tailored: TailoredTask) -> None:
        latency = None
        if self._meter:
            latency = LatencyRecord(
                predicted_ms=self._costs.latencies.student(tailored.student.architecture),
                measured_ms=self._meter.measure(compact(tailored.student)),
                measured_on=dict(self._meter.measured_on),
            )
        found = selected.tried, selected.chosen, selected.within_tolerance
        expected = self.search.expected_difference(selected)
        self.records.write(SelectionRecord(*found, latency, expected))
