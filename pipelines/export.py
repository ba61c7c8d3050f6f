"""Exports a tailored network as SavedModel, TFLite and ONNX, each compared with the network.

Images and universal network are taken from the run; flags replace them. The images are prepared as
the network's training images were. If an artifact is too far from the network, the program ends
with an error and publishes nothing.
"""

from absl import flags

from export import exporter, formats
from export.options import Options
from pipelines.common import artifacts, images, program, tailored, universal, values
from pipelines.common.values import MANY, given

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
artifacts.define(
    "exports in the working directory",
    DEFAULTS.formats,
    DEFAULTS.precisions,
    known=(tuple(formats.FAMILIES), formats.precisions()),
    keep=DEFAULTS.keep_versions,
)
flags.DEFINE_bool(
    "integer_io", DEFAULTS.integer_io, "Whether inputs and outputs of int8 files are int8, too."
)
values.define_number(
    "max_accuracy_drop",
    DEFAULTS.max_accuracy_drop,
    "Largest loss of accuracy of integer precisions, percentage points.",
    least=0,
    most=100,
)
values.define_number(
    "sparsity",
    None,
    "Also write TFLite files where this share of the weights is trained to zero.",
    above=0,
    below=1,
)
values.define_integer(
    "clusters",
    None,
    "Also write TFLite files with this number of different values per kernel.",
    least=2,
    most=256,
)
values.define_integer(
    "optimize_epochs",
    DEFAULTS.optimize_epochs,
    "Epochs of training for --sparsity, --clusters, and int8 files that lose too much accuracy.",
    least=1,
    most=MANY,
)
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
    task = images.load_for(exported.info, tailored.looked_at())
    published = exporter.export(exported, task, FLAGS.exports or tailored.exports(), options)
    print(f"\n{published.summary}\nVersion {published.version} is in {published.files}", end="")
    print(f" and {published.model}." if published.model else ".")


if __name__ == "__main__":
    program.run(main)
