"""Flags that name a tailored network: a finished run, or a task pack."""

import os
import pathlib
from collections.abc import Mapping

from absl import flags

from export import exportable
from pipelines.common import flag_files, images, paths, universal
from tailor_tf.backbones.universal import Universal
from tailor_tf.data.fingerprint import Fingerprint
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS


def define(workdir: str, task_pack: str) -> None:
    """Defines the two flags; the arguments are their help texts."""
    paths.define("workdir", paths.FOLDER, None, workdir)
    paths.define("task_pack", paths.FILE, None, task_pack)


def run() -> Workdir | None:
    """The run that the flags name; `None` for a task pack.

    Raises:
        TailorError: the flags name both or neither.
    """
    if (FLAGS.workdir is None) == (FLAGS.task_pack is None):
        raise TailorError("Expected one of --workdir and --task_pack.")
    return Workdir(FLAGS.workdir) if FLAGS.workdir else None


def task_pack() -> str | os.PathLike:
    """The task pack that the flags name.

    Raises:
        TailorError: the flags name both a run and a task pack or neither, or the run is not
            finished.
    """
    workdir = run()
    return exportable.pack_of_run(workdir) if workdir else FLAGS.task_pack


def load_universal() -> Universal:
    """Loads the universal network of the run; for a task pack, the one that the flags name.

    For a run, this also sets the flags of images and network that are not given to its values.

    Raises:
        TailorError: the run has no flag file, or the network cannot be loaded.
    """
    if workdir := run():
        flag_files.read(workdir, images.SOURCE_NAMES + universal.NAMES)
    return universal.load()


def load_exportable(network: Universal) -> exportable.Exportable:
    """Reads the tailored network over its universal network, under the name of --name if given."""
    if workdir := run():
        return exportable.from_run(workdir, network, FLAGS.name)
    return exportable.from_task_pack(FLAGS.task_pack, network, FLAGS.name)


def looked_at() -> Mapping[str, Fingerprint]:
    """Fingerprints of the images of the run, which are known to be whole; none for a task pack."""
    workdir = run()
    return Records(workdir).fingerprints() if workdir else {}


def exports() -> pathlib.Path:
    """Default folder for exports: in the working directory, or beside the task pack."""
    if workdir := run():
        return workdir.exports.path
    return pathlib.Path(FLAGS.task_pack).parent / "exports"
