"""Tailors one universal network to each domain of a protocol and compares with published results.

Finished domains are skipped, so that the same command continues after a stop. Several machines that
share the working directory may run it at the same time: each skips the domains that another one is
working on.
"""

import functools
import pathlib
import sys

from absl import flags

from pipelines.common import many_runs, paths, program, protocol, universal, values
from pipelines.common.values import given
from tailor_tf.decathlon import protocols
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS

universal.define()
protocol.define()
paths.define(
    "workdir", paths.FOLDER, None, "Folder of the domains' working directories.", required=True
)
values.define_integer("jobs", 1, "Number of domains to run at the same time.", least=1, most=1024)


def run_of(domain: str) -> Workdir:
    """The working directory of a domain."""
    return Workdir(pathlib.Path(FLAGS.workdir) / domain)


def command(domain: str) -> list[str]:
    """The command that tailors the network to a domain."""
    own = {"task": protocol.images(domain), "workdir": run_of(domain), "data_dir": FLAGS.data_dir}
    own["universal"] = FLAGS.universal
    flag_file = f"--flagfile={protocol.flag_file(domain)}"
    start = [sys.executable, "-m", f"{__package__}.tailor", flag_file]
    return [*start, *(f"--{name}={value}" for name, value in own.items()), *universal.given_flags()]


def main(argv: list[str]) -> None:
    """Runs the domains that are not finished, and prints and writes the tables."""
    program.no_arguments(argv)
    domains = protocol.domains()
    protocol.check(domains)
    network = functools.cache(lambda size: universal.load(**({"image_size": size} if size else {})))
    done, failed = many_runs.run_missing(
        {domain: run_of(domain) for domain in domains},
        command,
        is_finished=lambda domain: protocols.is_finished(run_of(domain).path, network(None)),
        jobs=FLAGS.jobs,
    )
    if done:
        options = given(("workdir", "protocol", "data_dir", "annotations", "test_labels"))
        print(f"\n{protocols.conclude(domains=done, universal=network, **options)}", end="")
    if failed:
        raise TailorError(
            f"{len(failed)} of {len(domains)} domains failed: {', '.join(failed)}. Their messages "
            "are above, or in output.txt in their folders. Run the same command to continue."
        )


if __name__ == "__main__":
    program.run(main)
