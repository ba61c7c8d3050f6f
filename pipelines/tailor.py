"""Tailors a universal network to a task: teacher, student, pruning, fine-tuning, report.

With `--method` it trains a network to compare with instead, in the same working directory.
"""

import pathlib
import sys

from absl import flags

from export import meter
from pipelines import common
from tailor_tf import Run, Settings, Universal, load_universal
from tailor_tf.data import Task
from tailor_tf.method.baselines import BASELINES
from tailor_tf.method.complexity import ESTIMATORS
from tailor_tf.method.distillation import TEACHER_GRADIENTS
from tailor_tf.network.architecture import Architecture
from tailor_tf.report import tables
from tailor_tf.support import files, locks
from tailor_tf.tailoring.phases import PHASES
from tailor_tf.tailoring.run import METHODS

FLAGS = flags.FLAGS
DEFAULTS = Settings()
BUDGETS = {
    "max_madds": "multiply_adds",
    "max_params": "parameters",
    "max_task_params": "task_parameters",
    "max_latency_ms": "latency_ms",
}
COMPLEXITIES = {"madds": "multiply_adds", "params": "parameters", "latency": "latency_ms"}
UNMET_STATUS = 3  # nothing is within the tolerance

common.define_task_flags()
common.define_universal_flags()
common.define_training_flags()
flags.DEFINE_string("workdir", None, "Folder for everything that the run makes.", required=True)
flags.DEFINE_enum(
    "method", METHODS[0], METHODS, "nettailor, or another method to compare it with in the report."
)
flags.DEFINE_enum("until", "finetune", list(PHASES), "The last phase to run.")
flags.DEFINE_enum(
    "redo",
    None,
    [*PHASES, *BASELINES],
    "Forget what this phase and the later ones left, and run anew.",
)
for phase in ("teacher", "student", "finetune", "baseline"):
    common.define_recipe_flags(f"{phase}_", getattr(DEFAULTS, phase))
flags.DEFINE_string("max_skip", "3", "How many layers back a proxy may read, or dense.")
flags.DEFINE_enum("complexity", "madds", list(COMPLEXITIES), "What expected complexity counts.")
flags.DEFINE_string(
    "complexity_weight",
    str(DEFAULTS.complexity_weight),
    "Gamma 1: weight of the expected complexity, or auto to drive it to the budget.",
)
flags.DEFINE_float("teacher_weight", DEFAULTS.teacher_weight, "Gamma 2: weight of the teacher.")
flags.DEFINE_enum(
    "teacher_gradient",
    DEFAULTS.teacher_gradient,
    TEACHER_GRADIENTS,
    "Whether the teacher's term trains the layer it belongs to or all layers before it, too.",
)
flags.DEFINE_enum(
    "estimator",
    None,
    sorted(ESTIMATORS),
    "How the expected complexity is computed; as in the paper by default, by reachability where it "
    "is driven to the budget.",
)
flags.DEFINE_list(
    "prune_blocks",
    None,
    "Numbers of universal blocks to remove, by comma, tried from the largest down; searched for by "
    "default.",
)
flags.DEFINE_float("proxy_threshold", DEFAULTS.proxy_threshold, "Remove proxies with a lower gate.")
flags.DEFINE_float(
    "tolerance",
    None,
    f"Points of validation accuracy to give away; {DEFAULTS.tolerance} by default, not looked at "
    "where a budget is given alone.",
)
for name, count in BUDGETS.items():
    what = f"The {count.replace('_', '-')} that the network may have, such as 20e6."
    if name == "max_latency_ms":
        what = "Milliseconds that one image may take in LiteRT on this machine."
    flags.DEFINE_float(name, None, what, lower_bound=0)
flags.DEFINE_enum(
    "latency",
    None,
    meter.PRECISIONS,
    "Measure latency in LiteRT and record it, in this precision; float32 where latency is asked "
    "for otherwise.",
)
flags.DEFINE_integer("latency_threads", 1, "Threads of LiteRT.", lower_bound=1)


def settings_from_flags() -> Settings:
    """The settings that the flags describe."""
    limits = {count: FLAGS[name].value for name, count in BUDGETS.items()}
    budget = {count: limit for count, limit in limits.items() if limit is not None}
    by_default = None if budget else DEFAULTS.tolerance
    return Settings(
        tolerance=by_default if FLAGS.tolerance is None else FLAGS.tolerance,
        budget=budget,
        complexity=COMPLEXITIES[FLAGS.complexity],
        complexity_weight=common.number_or(FLAGS["complexity_weight"], float, auto=None),
        teacher=common.recipe_from_flags("teacher_"),
        student=common.recipe_from_flags("student_"),
        finetune=common.recipe_from_flags("finetune_"),
        baseline=common.recipe_from_flags("baseline_"),
        max_skip=common.number_or(FLAGS["max_skip"], int, dense=None),
        prune_blocks=common.numbers(FLAGS["prune_blocks"], int),
        **{
            name: FLAGS[name].value
            for name in (
                "teacher_weight",
                "teacher_gradient",
                "estimator",
                "proxy_threshold",
                "seed",
            )
        },
    )


def meter_from_flags(universal: Universal, task: Task, settings: Settings) -> meter.Meter | None:
    """What measures latency, where the flags ask for it."""
    if FLAGS.latency is None and not settings.needs_latency:
        return None
    return meter.Meter(
        universal.graph,
        Architecture.full(universal.graph.num_blocks, settings.max_skip),
        task.num_classes,
        precision=FLAGS.latency or "float32",
        threads=FLAGS.latency_threads,
    )


def main(argv: list[str]) -> None:
    """Runs what the flags ask for and prints the report's table."""
    common.no_arguments(argv)
    with common.training_workdir() as workdir:
        tailor(workdir)


def tailor(workdir: str) -> None:
    """Runs what the flags ask for in a working directory."""
    universal = load_universal(FLAGS.universal, **common.universal_config())
    task = common.task_from_flags(universal.graph.input_shape[0], universal.graph.normalisation)
    settings = settings_from_flags()
    run = Run(
        universal,
        task,
        workdir,
        settings,
        common.phase_callbacks(workdir),
        meter_from_flags(universal, task, settings),
        **common.training_options(),
    )
    with locks.locked(workdir):
        run.check(FLAGS.method, FLAGS.redo)
        if FLAGS.redo:
            run.phases.forget(FLAGS.redo)
        files.write_text(pathlib.Path(workdir) / "flags.txt", common.flags_into_string())
        if FLAGS.method != "nettailor":
            run.baseline(FLAGS.method)
            print(f"\n{tables.comparison([workdir])}", end="")
        elif result := run.run(FLAGS.until):
            print(f"\n{result.table}\nEverything is in {workdir}; see its report folder.")
            if not result.within_tolerance:
                sys.exit(UNMET_STATUS)


if __name__ == "__main__":
    common.run(main)
