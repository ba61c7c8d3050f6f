"""Tailors one universal network to each domain of a protocol and compares with published results.

Finished domains are skipped, so that the same command continues after a stop. Several machines that
share the working directory may run it at the same time: each skips the domains that another one is
working on.
"""

import functools
import os
import pathlib
import sys

from absl import flags

from pipelines.common import many_runs, program, universal
from pipelines.common.values import given
from tailor_tf.decathlon import protocols
from tailor_tf.decathlon.protocols import PROTOCOLS
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS

universal.define()
flags.DEFINE_string("workdir", None, "Folder of the domains' working directories.", required=True)
flags.DEFINE_enum("protocol", "decathlon", list(PROTOCOLS), "Protocol: the list of domains.")
flags.DEFINE_list("domains", None, "Domains to run, separated by commas; all by default.")
flags.DEFINE_string(
    "data_dir",
    os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"),
    "Folder of TensorFlow Datasets' data.",
)
flags.DEFINE_string("folders", ".", "Folder that contains the image folders of domains.")
flags.DEFINE_string(
    "flagfiles", None, "Folder with one flag file per domain; the project's own by default."
)
flags.DEFINE_integer("jobs", 1, "Number of domains to run at the same time.", lower_bound=1)
flags.DEFINE_string(
    "annotations", None, "Folder of the decathlon's annotations; found in --data_dir by default."
)
flags.DEFINE_string("test_labels", None, "Folder of test labels, <domain>_test.json, COCO-style.")


def run_of(domain: str) -> Workdir:
    """The working directory of a domain."""
    return Workdir(pathlib.Path(FLAGS.workdir) / domain)


def command(domain: str) -> list[str]:
    """The command that tailors the network to a domain."""
    task = PROTOCOLS[FLAGS.protocol][domain]
    if task.startswith("folder:"):
        task = f"folder:{pathlib.Path(FLAGS.folders) / task.removeprefix('folder:')}"
    flagfiles = FLAGS.flagfiles or pathlib.Path(__file__).parent / "flags" / FLAGS.protocol
    own = {"task": task, "workdir": run_of(domain), "data_dir": FLAGS.data_dir}
    own["universal"] = FLAGS.universal
    start = [sys.executable, "-m", "pipelines.tailor", f"--flagfile={flagfiles}/{domain}.txt"]
    return [*start, *(f"--{name}={value}" for name, value in own.items()), *universal.given_flags()]


def main(argv: list[str]) -> None:
    """Runs the domains that are not finished, and prints and writes the tables."""
    program.no_arguments(argv)
    known = PROTOCOLS[FLAGS.protocol]
    domains = FLAGS.domains or list(known)
    if unknown := set(domains) - set(known):
        raise TailorError(
            f"--domains got {', '.join(sorted(unknown))}; expected some of {', '.join(known)}."
        )
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
