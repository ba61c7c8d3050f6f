"""Tailors a universal network to a task: teacher, student, pruning, fine-tuning, report.

With `--method`, it trains a baseline to compare with instead, in the same working directory.
"""

import sys

from absl import flags

from pipelines.common import (
    devices,
    flag_files,
    images,
    paths,
    program,
    tailoring,
    training,
    universal,
)
from tailor_tf.records.phase import BASELINES, STAGES
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import tables
from tailor_tf.support import locks
from tailor_tf.tailoring.run import METHODS, Run

FLAGS = flags.FLAGS
UNMET_STATUS = 3  # exit status if no network is within the tolerance

images.define()
universal.define()
training.define()
tailoring.define()
paths.define("workdir", paths.FOLDER, None, "Folder for all files of the run.", required=True)
flags.DEFINE_enum(
    "method", METHODS[0], METHODS, "Method: nettailor, or another method to compare it with."
)
flags.DEFINE_enum("until", "finetune", list(STAGES), "The last phase to run.")
flags.DEFINE_enum(
    "redo",
    None,
    [*STAGES, *BASELINES],
    "Remove the results of this phase and of all later phases, and run them again.",
)


def make_run(workdir: str) -> Run:
    """The run that the flags describe; wrong settings are refused before images are read."""
    settings, options = tailoring.settings(), training.options()
    network = universal.load()
    tailoring.say_what_is_own(network)
    looked_at = Records(Workdir(workdir)).fingerprints()
    task = images.load(network.graph.input_shape[0], network.graph.normalisation, looked_at)
    run = Run(
        network,
        task,
        workdir,
        settings,
        callbacks=program.callbacks(workdir),
        meter=tailoring.latency_meter(network, task, settings),
        options=options,
    )
    run.check_batch_sizes(FLAGS.method, FLAGS.until)
    if FLAGS.method in BASELINES:
        run.baseline_phase(FLAGS.method)  # refuses one that lacks a flag
    return run


def tailor(workdir: str) -> None:
    """Runs the phases that the flags name in a working directory and prints the report's table."""
    run = make_run(workdir)
    with locks.locked(workdir):
        run.check(FLAGS.method, FLAGS.redo)
        if FLAGS.redo:
            run.forget(FLAGS.redo)
        flag_files.write(Workdir(workdir))
        if FLAGS.method != METHODS[0]:
            run.baseline(FLAGS.method)
            print(f"\n{tables.comparison([workdir])}", end="")
        elif result := run.run(FLAGS.until):
            print(f"\n{result.table}\nEverything is in {workdir}; see its report folder.")
            if not result.within_tolerance:
                sys.exit(UNMET_STATUS)


def main(argv: list[str]) -> None:
    """Tailors on the devices that the flags name."""
    program.no_arguments(argv)
    with devices.training_workdir() as workdir:
        tailor(workdir)


if __name__ == "__main__":
    program.run(main)
