"""Makes the reports of finished runs anew and compares the runs in one table."""

from absl import flags

from pipelines import common
from tailor_tf import report

FLAGS = flags.FLAGS

flags.DEFINE_list("workdirs", None, "Working directories of pipelines.tailor.", required=True)


def main(argv: list[str]) -> None:
    """Writes each run's report and prints a table with a row per run."""
    common.no_arguments(argv)
    for workdir in FLAGS.workdirs:
        report.write(workdir)
    print(report.comparison(FLAGS.workdirs), end="")


if __name__ == "__main__":
    common.run(main)
