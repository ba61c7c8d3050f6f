"""Tailors a universal network to a task: teacher, student, pruning, fine-tuning, report.

With `--method` it trains a network to compare with instead, in the same working directory.
"""

import pathlib
import sys

from absl import flags

from pipelines import common
from tailor_tf import Run, Settings, files, load_universal, locks, report
from tailor_tf.baselines import BASELINES
from tailor_tf.complexity import ESTIMATORS
from tailor_tf.distillation import TEACHER_GRADIENTS
from tailor_tf.phases import PHASES
from tailor_tf.tailoring import METHODS

FLAGS = flags.FLAGS
DEFAULTS = Settings()
BUDGETS = {
    "max_madds": "multiply_adds",
    "max_params": "parameters",
    "max_task_params": "task_parameters",
}
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
flags.DEFINE_float("complexity_weight", DEFAULTS.complexity_weight, "Gamma 1: weight of E[C].")
flags.DEFINE_float("teacher_weight", DEFAULTS.teacher_weight, "Gamma 2: weight of the teacher.")
flags.DEFINE_enum(
    "teacher_gradient",
    DEFAULTS.teacher_gradient,
    TEACHER_GRADIENTS,
    "Whether the teacher's term trains the layer it belongs to or all layers before it, too.",
)
flags.DEFINE_enum(
    "estimator",
    DEFAULTS.estimator,
    sorted(ESTIMATORS),
    "How the expected complexity is computed.",
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
    flags.DEFINE_float(name, None, what, lower_bound=1)


def settings_from_flags() -> Settings:
    """The settings that the flags describe."""
    limits = {count: FLAGS[name].value for name, count in BUDGETS.items()}
    budget = {count: limit for count, limit in limits.items() if limit is not None}
    by_default = None if budget else DEFAULTS.tolerance
    return Settings(
        tolerance=by_default if FLAGS.tolerance is None else FLAGS.tolerance,
        budget=budget,
        teacher=common.recipe_from_flags("teacher_"),
        student=common.recipe_from_flags("student_"),
        finetune=common.recipe_from_flags("finetune_"),
        baseline=common.recipe_from_flags("baseline_"),
        max_skip=common.integer_or(FLAGS["max_skip"], dense=None),
        prune_blocks=common.numbers(FLAGS["prune_blocks"], int),
        **{
            name: FLAGS[name].value
            for name in (
                "complexity_weight",
                "teacher_weight",
                "teacher_gradient",
                "estimator",
                "proxy_threshold",
                "seed",
            )
        },
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
    run = Run(
        universal,
        task,
        workdir,
        settings_from_flags(),
        common.phase_callbacks(workdir),
        **common.training_options(),
    )
    with locks.locked(workdir):
        run.check(FLAGS.method, FLAGS.redo)
        if FLAGS.redo:
            run.phases.forget(FLAGS.redo)
        files.write_text(pathlib.Path(workdir) / "flags.txt", common.flags_into_string())
        if FLAGS.method != "nettailor":
            run.baseline(FLAGS.method)
            print(f"\n{report.comparison([workdir])}", end="")
        elif result := run.run(FLAGS.until):
            print(f"\n{result.table}\nEverything is in {workdir}; see its report folder.")
            if not result.within_tolerance:
                sys.exit(UNMET_STATUS)


if __name__ == "__main__":
    common.run(main)
