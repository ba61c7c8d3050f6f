"""Flags of a protocol's folders, which are looked at before anything is trained."""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

from pipelines.common import paths, values
from tailor_tf.decathlon import challenge
from tailor_tf.decathlon.protocols import COLLECTION, PROTOCOLS
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS
_FLAG_FILES = pathlib.Path(__file__).parents[1] / "flags"  # a folder for each protocol


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_enum("protocol", "decathlon", list(PROTOCOLS), "Protocol: the list of domains.")
    values.define_names(
        "domains",
        None,
        "Domains to run, separated by commas; all of the protocol by default.",
        [domain for protocol in PROTOCOLS.values() for domain in protocol],
    )
    by_default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    for name, default, text in (
        ("data_dir", by_default, "Folder of TensorFlow Datasets' data."),
        ("folders", ".", "Folder that contains the image folders of domains."),
        (
            "flagfiles",
            None,
            "Folder with one flag file per domain; the project's own by default.",
        ),
        (
            "annotations",
            None,
            "Folder of the decathlon's annotations; found in --data_dir by default.",
        ),
        ("test_labels", None, "Folder of test labels, <domain>_test.json, COCO-style."),
    ):
        paths.define(name, paths.FOLDER, default, text)


def domains() -> list[str]:
    """The domains that the flags name.

    Raises:
        TailorError: a domain of another protocol.
    """
    known = PROTOCOLS[FLAGS.protocol]
    found = list(dict.fromkeys(FLAGS.domains or known))
    if unknown := set(found) - set(known):
        raise TailorError(
            f"--domains got {', '.join(sorted(unknown))}; expected some of {', '.join(known)}, the "
            f"domains of --protocol={FLAGS.protocol}."
        )
    return found


def flag_file(domain: str) -> pathlib.Path:
    """The file with the flags of a domain's training."""
    return pathlib.Path(FLAGS.flagfiles or _FLAG_FILES / FLAGS.protocol) / f"{domain}.txt"


def images(domain: str) -> str:
    """The images of a domain, as `--task` of pipelines.tailor."""
    task = PROTOCOLS[FLAGS.protocol][domain]
    if task.startswith("folder:"):
        return f"folder:{pathlib.Path(FLAGS.folders) / task.removeprefix('folder:')}"
    return task


def check(names: Sequence[str]) -> None:
    """Looks at the files that the domains need, so that none is missing hours later.

    Raises:
        TailorError: a flag file or a folder of images is missing, annotations or test labels are
            named and not there, or the data are prepared and their annotations cannot be found.
    """
    for domain in names:
        if not flag_file(domain).is_file():
            raise TailorError(f"There is no flag file {flag_file(domain)}; see --flagfiles.")
        kind, _, folder = images(domain).partition(":")
        if kind == "folder" and not os.path.isdir(folder):
            raise TailorError(f"There is no folder {folder} with the images of {domain}.")
    if FLAGS.protocol == "decathlon":
        _check_annotations(names)
    if FLAGS.test_labels:
        _check_labels(names)


def _check_annotations(names: Sequence[str]) -> None:
    """Refuses a folder that is named and lacks a file, and data that came without annotations."""
    prepared = pathlib.Path(FLAGS.data_dir) / COLLECTION
    if FLAGS.annotations:
        for domain in names:
            challenge.read_annotations(FLAGS.annotations, domain)
    elif all((prepared / domain).is_dir() for domain in names):  # and nothing is unpacked any more
        runs = [Workdir(pathlib.Path(FLAGS.workdir) / domain) for domain in names]
        if not all(run.predictions.exists() for run in runs):
            challenge.find_annotations(FLAGS.data_dir)


def _check_labels(names: Sequence[str]) -> None:
    files = [os.path.join(FLAGS.test_labels, f"{domain}_test.json") for domain in names]
    if not any(map(os.path.isfile, files)):
        raise TailorError(
            f"--test_labels names {FLAGS.test_labels}, which holds none of "
            f"{', '.join(map(os.path.basename, files))}."
        )
