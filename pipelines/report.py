"""Writes the reports of runs again and compares runs and methods in one table."""

from absl import flags

from pipelines.common import paths, program
from tailor_tf.records.records import RunRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import tables, writer

FLAGS = flags.FLAGS

paths.define_list(
    "workdirs", paths.FOLDER, "Working directories of pipelines.tailor.", required=True
)
paths.define("overview", paths.FILE, None, "HTML file to write, with all runs side by side.")


def main(argv: list[str]) -> None:
    """Writes each run's report, as far as it has come, and prints a row per task and method."""
    program.no_arguments(argv)
    table = tables.comparison(FLAGS.workdirs)
    for workdir in FLAGS.workdirs:
        if Records(Workdir(workdir)).read(RunRecord):
            writer.write(workdir)
    print(table, end="")
    if FLAGS.overview:
        writer.write_overview(FLAGS.workdirs, FLAGS.overview)
        print(f"\n{FLAGS.overview} shows them side by side.")


if __name__ == "__main__":
    program.run(main)
