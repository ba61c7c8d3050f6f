"""Exports a tailored network as SavedModel, TFLite and ONNX, each compared with the network.

Images and universal network are taken from the run; flags replace them. The images are prepared as
the network's training images were. If an artifact is too far from the network, the program ends
with an error and publishes nothing.
"""

from absl import flags

from export import exporter, formats
from export.options import Options
from pipelines.common import images, program, tailored, universal
from pipelines.common.values import given

FLAGS = flags.FLAGS
DEFAULTS = Options()
_AS_GIVEN = (
    "integer_io",
    "max_accuracy_drop",
    "sparsity",
    "clusters",
    "optimize_epochs",
    "keep_versions",
    "supersede",
)

images.define_source()
universal.define()
tailored.define(
    workdir="Working directory of a finished run.",
    task_pack="A task pack instead of a run; --task names its images.",
)
flags.DEFINE_string(
    "exports", None, "Folder for exported artifacts; exports in the working directory if None."
)
flags.DEFINE_list(
    "formats", list(DEFAULTS.formats), f"Formats, some of {', '.join(formats.FAMILIES)}."
)
flags.DEFINE_list(
    "precision",
    list(DEFAULTS.precisions),
    f"Precisions of TFLite files, some of {', '.join(formats.precisions())}.",
)
flags.DEFINE_bool(
    "integer_io", DEFAULTS.integer_io, "Whether inputs and outputs of int8 files are int8, too."
)
flags.DEFINE_float(
    "max_accuracy_drop",
    DEFAULTS.max_accuracy_drop,
    "Largest loss of accuracy of integer precisions, percentage points.",
)
flags.DEFINE_float(
    "sparsity", None, "Also write TFLite files where this share of the weights is trained to zero."
)
flags.DEFINE_integer(
    "clusters", None, "Also write TFLite files with this number of different values per kernel."
)
flags.DEFINE_integer(
    "optimize_epochs",
    DEFAULTS.optimize_epochs,
    "Epochs of training for --sparsity, --clusters, and int8 files that lose too much accuracy.",
)
flags.DEFINE_integer("keep_versions", DEFAULTS.keep_versions, "Number of versions to keep.")
flags.DEFINE_bool(
    "supersede",
    DEFAULTS.supersede,
    "Whether a version may follow versions of another task under the same name.",
)
flags.DEFINE_bool("benchmark", DEFAULTS.measure, "Whether to measure latency and memory.")


def main(argv: list[str]) -> None:
    """Exports the network that the flags name and prints the measurements."""
    program.no_arguments(argv)
    options = Options(
        formats=tuple(FLAGS.formats),
        precisions=tuple(FLAGS.precision),
        measure=FLAGS.benchmark,
        **given(_AS_GIVEN),
    )
    network = tailored.load_universal()
    exported = tailored.load_exportable(network)
    task = images.load_for(exported.info)
    published = exporter.export(exported, task, FLAGS.exports or tailored.exports(), options)
    print(f"\n{published.summary}\nVersion {published.version} is in {published.files}", end="")
    print(f" and {published.model}." if published.model else ".")


if __name__ == "__main__":
    program.run(main)
