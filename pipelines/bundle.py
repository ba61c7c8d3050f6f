"""Keeps many tasks over one universal network in one directory, the network stored once.

python -m pipelines.bundle create --bundle=runs/bundle --workdir=runs/flowers
python -m pipelines.bundle add --bundle=runs/bundle --workdir=runs/birds
python -m pipelines.bundle remove --bundle=runs/bundle --name=flowers
python -m pipelines.bundle list --bundle=runs/bundle
python -m pipelines.bundle verify --bundle=runs/bundle
python -m pipelines.bundle export --bundle=runs/bundle --exports=runs/exports
"""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

from export import bundle, exportable, sizes
from pipelines import common
from tailor_tf import load_universal
from tailor_tf.bundle.manifest import Manifest
from tailor_tf.bundle.store import BundleStore, read_pack
from tailor_tf.report.tables import aligned
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS

common.define_universal_flags()
flags.DEFINE_string("bundle", None, "The bundle's directory.", required=True)
flags.DEFINE_string("workdir", None, "Working directory of a finished run: the task to add.")
flags.DEFINE_string(
    "task_pack", None, "A task pack instead of a run; for create, --universal names its network."
)
flags.DEFINE_string("name", None, "The task's name in the bundle; that of its pack if None.")
flags.DEFINE_string(
    "exports", None, "Folder for what export writes; exports beside the bundle if None."
)
flags.DEFINE_list("formats", ["saved_model", "onnx"], f"Some of {', '.join(bundle.FORMATS)}.")
flags.DEFINE_list(
    "precision",
    ["int8"],
    f"Precisions of TFLite, some of {', '.join(bundle.PRECISIONS)}; pipelines.export wrote the "
    "files of each task alone into the same --exports.",
)
flags.DEFINE_integer("keep_versions", 3, "How many versions to keep.", lower_bound=1)


def create(store: BundleStore) -> str:
    """Makes a bundle of a first task and its universal network."""
    pack = _given_pack()
    if FLAGS.workdir:
        common.read_flags_of_run(FLAGS.workdir)
    universal = load_universal(FLAGS.universal, **common.universal_config())
    BundleStore.create(store.path, universal, [read_pack(pack, universal, FLAGS.name)])
    return f"{store.path} was created: {_size(store.read())}."


def add(store: BundleStore) -> str:
    """Adds a task."""
    pack = read_pack(_given_pack(), store.universal(), FLAGS.name)
    return f"{pack.tailored.name} was added to {store.path}: {_size(store.add(pack))}."


def remove(store: BundleStore) -> str:
    """Removes a task."""
    if FLAGS.name is None:
        raise TailorError("Expected --name, the task to remove.")
    return f"{FLAGS.name} was removed from {store.path}: {_size(store.remove(FLAGS.name))}."


def show(store: BundleStore) -> str:
    """A table of the tasks."""
    rows = [["task", "classes", "universal blocks", "task pack (KB)"]]
    for name, task in store.describe().items():
        blocks = ", ".join(map(str, task.architecture.universal_blocks)) or "none"
        rows.append([name, str(len(task.classes)), blocks, f"{task.bytes / 1e3:,.0f}"])
    return "\n".join([*aligned(rows), "", f"{store.path}: {_size(store.read())}."])


def verify(store: BundleStore) -> str:
    """Compares every file with what was stored."""
    return f"{store.path} is whole: {_size(store.verify())}."


def export(store: BundleStore) -> str:
    """Writes artifacts for all tasks together."""
    folder = FLAGS.exports or pathlib.Path(FLAGS.bundle).parent / "exports"
    made = bundle.export(
        store,
        folder,
        formats=FLAGS.formats,
        precisions=FLAGS.precision,
        keep_versions=FLAGS.keep_versions,
    )
    rows = [["artifact", "size (KB)"]]
    rows += [[str(path), f"{sizes.on_disk(path) / 1e3:,.0f}"] for path in made]
    return "\n".join(aligned(rows))


VERBS = {
    "create": create,
    "add": add,
    "remove": remove,
    "list": show,
    "verify": verify,
    "export": export,
}


def _given_pack() -> str | os.PathLike:
    if (FLAGS.workdir is None) == (FLAGS.task_pack is None):
        raise TailorError("Expected one of --workdir and --task_pack.")
    return exportable.pack_of_run(FLAGS.workdir) if FLAGS.workdir else FLAGS.task_pack


def _size(manifest: Manifest) -> str:
    tasks = f"{len(manifest.tasks)} task{'s' if len(manifest.tasks) > 1 else ''}"
    return f"{tasks}, {manifest.total_bytes / 1e6:.2f} MB"


def main(argv: Sequence[str]) -> None:
    """Does what the verb says and prints what came of it."""
    if len(argv) != 2 or argv[1] not in VERBS:
        received = " ".join(argv[1:]) or "nothing"
        raise TailorError(f"Received {received!r}; expected one of {', '.join(VERBS)}.")
    print(VERBS[argv[1]](BundleStore(FLAGS.bundle)))


if __name__ == "__main__":
    common.run(main)
