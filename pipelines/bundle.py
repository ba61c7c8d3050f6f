"""Manages a bundle: many tasks over one universal network, which is stored once.

python -m pipelines.bundle create --bundle=runs/bundle --workdir=runs/flowers
python -m pipelines.bundle add --bundle=runs/bundle --workdir=runs/birds
python -m pipelines.bundle remove --bundle=runs/bundle --name=flowers
python -m pipelines.bundle list --bundle=runs/bundle
python -m pipelines.bundle verify --bundle=runs/bundle
python -m pipelines.bundle export --bundle=runs/bundle --exports=runs/exports
"""

from absl import flags

from export import bundle, formats, sizes
from pipelines.common import artifacts, largest, paths, program, tailored, universal, values
from tailor_tf.bundle import packs
from tailor_tf.bundle.store import BundleStore
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS

universal.define()
tailored.define(
    workdir="Working directory of a finished run: the task to add.",
    task_pack="A task pack instead of a run; create also needs its network, --universal.",
)
paths.define("bundle", paths.FOLDER, None, "The bundle's directory.", required=True)
values.define_text("name", None, "The task's name in the bundle; the name in its pack if None.")
artifacts.define(
    "the folder exports beside the bundle",
    bundle.default_formats(),
    [bundle.PRECISION],
    known=(tuple(formats.shared_formats()), formats.shared_precisions()),
    keep=3,
    hint="; run pipelines.export for each task first, with the same --exports",
)
largest.define()
flags.DEFINE_bool("supersede", False, "Whether a version may follow versions of another bundle.")


def create(store: BundleStore) -> str:
    """Makes a bundle from a first task and its universal network."""
    pack, network = tailored.task_pack(), tailored.load_universal()
    BundleStore.create(store.path, network, [packs.read_pack(pack, network, FLAGS.name)])
    return f"{store.path} was created: {store.read().in_words()}."


def add(store: BundleStore) -> str:
    """Adds a task."""
    pack = packs.read_pack(tailored.task_pack(), store.universal(), FLAGS.name)
    return f"{pack.name} was added to {store.path}: {store.add(pack).in_words()}."


def remove(store: BundleStore) -> str:
    """Removes a task."""
    if FLAGS.name is None:
        raise TailorError("Expected --name, the task to remove.")
    return f"{FLAGS.name} was removed from {store.path}: {store.remove(FLAGS.name).in_words()}."


def list_(store: BundleStore) -> str:
    """A table of the tasks."""
    lines = packs.table(store.describe())
    return "\n".join([*lines, "", f"{store.path}: {store.read().in_words()}."])


def verify(store: BundleStore) -> str:
    """Checks all files against their checksums."""
    return f"{store.path} is whole: {store.verify().in_words()}."


def export(store: BundleStore) -> str:
    """Writes artifacts for all tasks together."""
    largest.apply()
    folder = FLAGS.exports or store.path.parent / "exports"
    chosen = {"formats": FLAGS.formats, "precisions": FLAGS.precision}
    made = bundle.export(store, folder, **chosen, **values.given(("keep_versions", "supersede")))
    return "\n".join(sizes.table(made))


VERBS = {f.__name__.rstrip("_"): f for f in (create, add, remove, list_, verify, export)}


def main(argv: list[str]) -> None:
    """Runs the command that the argument names and prints its result."""
    if len(argv) != 2 or argv[1] not in VERBS:
        received = " ".join(argv[1:]) or "nothing"
        raise TailorError(f"Received {received!r}; expected one of {', '.join(VERBS)}.")
    print(VERBS[argv[1]](BundleStore(FLAGS.bundle)))


if __name__ == "__main__":
    program.run(main)
