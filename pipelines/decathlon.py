"""Tailors one universal network to every domain of a protocol and shows where the result stands.

What is finished is skipped, so that the same command goes on wherever it was stopped, and any
number of machines that share the working directory may run it at once: a domain that one is at
work on is left to it.
"""

import functools
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from absl import flags

from pipelines import common
from tailor_tf import load_universal
from tailor_tf.decathlon import protocols
from tailor_tf.decathlon.protocols import PROTOCOLS
from tailor_tf.support import locks
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS

common.define_universal_flags()
flags.DEFINE_string("workdir", None, "Folder for a working directory per domain.", required=True)
flags.DEFINE_enum("protocol", "decathlon", list(PROTOCOLS), "Which domains.")
flags.DEFINE_list("domains", None, "Domains to run, by comma; all of the protocol by default.")
flags.DEFINE_string(
    "data_dir",
    os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"),
    "Where TensorFlow Datasets keeps its data.",
)
flags.DEFINE_string("folders", ".", "Where the folders of domains lie that are image folders.")
flags.DEFINE_string(
    "flagfiles", None, "Folder of a flag file per domain; the project's own by default."
)
flags.DEFINE_integer("jobs", 1, "Domains to work on at once.", lower_bound=1)
flags.DEFINE_string(
    "annotations", None, "Annotations of the decathlon's kit; found in data_dir by default."
)
flags.DEFINE_string("test_labels", None, "Folder of <domain>_test.json, COCO-style, to score with.")


def folder(domain: str) -> pathlib.Path:
    """The working directory of a domain."""
    return pathlib.Path(FLAGS.workdir) / domain


def tailor(domain: str) -> int:
    """Runs `pipelines.tailor` for a domain; returns its exit status."""
    workdir = folder(domain)
    task = PROTOCOLS[FLAGS.protocol][domain]
    if task.startswith("folder:"):
        task = f"folder:{pathlib.Path(FLAGS.folders) / task.removeprefix('folder:')}"
    flagfiles = FLAGS.flagfiles or pathlib.Path(__file__).parent / "flags" / FLAGS.protocol
    command = [sys.executable, "-m", "pipelines.tailor", f"--flagfile={flagfiles}/{domain}.txt"]
    command += [f"--task={task}", f"--workdir={workdir}", f"--data_dir={FLAGS.data_dir}"]
    given = {"universal": FLAGS.universal} | common.universal_config()
    command += [f"--{name}={value}" for name, value in given.items() if value is not None]
    if FLAGS.jobs == 1:
        return subprocess.run(command, check=False).returncode
    workdir.mkdir(parents=True, exist_ok=True)
    with open(workdir / "output.txt", "a", encoding="utf-8") as output:
        print(f"{domain}: started, see {output.name}", flush=True)
        return subprocess.run(command, check=False, stdout=output, stderr=output).returncode


def main(argv: list[str]) -> None:
    """Runs what is left to run and prints and writes the tables."""
    common.no_arguments(argv)
    known = PROTOCOLS[FLAGS.protocol]
    domains = FLAGS.domains or list(known)
    if unknown := set(domains) - set(known):
        raise TailorError(
            f"--domains got {', '.join(sorted(unknown))}; expected some of {', '.join(known)}."
        )
    network = functools.cache(
        lambda size: load_universal(
            FLAGS.universal, **common.universal_config() | ({"image_size": size} if size else {})
        )
    )

    def finished() -> list[str]:
        return [d for d in domains if protocols.is_finished(folder(d), network(None))]

    before = finished()
    left = [domain for domain in domains if domain not in before]
    with ThreadPoolExecutor(FLAGS.jobs) as pool:
        statuses = dict(zip(left, pool.map(tailor, left), strict=True))
    done = finished()  # by whomever
    failed = []
    for domain in (domain for domain in left if domain not in done):
        if statuses[domain] == common.IN_USE_STATUS:
            print(f"{domain}: {locks.holder(folder(domain))} works on it.")
        else:
            failed.append(domain)
    if done:
        names = ("workdir", "protocol", "data_dir", "annotations", "test_labels")
        options = {name: FLAGS[name].value for name in names}
        print(f"\n{protocols.conclude(domains=done, universal=network, **options)}", end="")
    if failed:
        raise TailorError(
            f"{len(failed)} of {len(domains)} domains failed: {', '.join(failed)}. Their messages "
            "are above, or in output.txt in their folders; the same command goes on with them."
        )


if __name__ == "__main__":
    common.run(main)
