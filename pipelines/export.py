"""Exports a tailored network: SavedModel, TFLite and ONNX, each compared with the network itself.

Images, universal network and settings of the images are those of the run, unless flags say
otherwise. If an artifact is not what was trained the program ends with an error, and nothing is
published.
"""

import os
import pathlib

from absl import flags

from export import exportable, exporter
from export.tflite import single as tflite
from pipelines import common
from tailor_tf import load_universal
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS
DEFAULTS = exporter.Options()

common.define_task_flags()
common.define_universal_flags()
flags.DEFINE_string("workdir", None, "Working directory of a finished run.")
flags.DEFINE_string("task_pack", None, "A task pack instead of a run; --task names its images.")
flags.DEFINE_string(
    "exports", None, "Folder for what is exported; exports in the run's working directory if None."
)
flags.DEFINE_list("formats", list(DEFAULTS.formats), f"Some of {', '.join(exporter.FORMATS)}.")
flags.DEFINE_list(
    "precision",
    list(DEFAULTS.precisions),
    f"Precisions of TFLite files, some of {', '.join(tflite.PRECISIONS)}.",
)
flags.DEFINE_bool(
    "integer_io", DEFAULTS.integer_io, "Whether int8 files take and give int8 instead of float."
)
flags.DEFINE_float(
    "max_accuracy_drop",
    DEFAULTS.max_accuracy_drop,
    "Points of accuracy that integer precisions may lose.",
)
flags.DEFINE_float(
    "sparsity", None, "Also write TFLite files with this share of weights trained to zero."
)
flags.DEFINE_integer(
    "clusters", None, "Also write TFLite files whose kernels are trained to so many values each."
)
flags.DEFINE_integer(
    "optimize_epochs",
    DEFAULTS.optimize_epochs,
    "Passes over the training images for sparsity, clusters, and int8 where it loses too much.",
)
flags.DEFINE_integer("keep_versions", DEFAULTS.keep_versions, "How many versions to keep.")
flags.DEFINE_bool("benchmark", DEFAULTS.measure, "Whether to measure latency and memory.")


def main(argv: list[str]) -> None:
    """Exports what the flags name and prints what was measured."""
    common.no_arguments(argv)
    options = exporter.Options(
        formats=tuple(FLAGS.formats),
        precisions=tuple(FLAGS.precision),
        measure=FLAGS.benchmark,
        **{
            name: FLAGS[name].value
            for name in (
                "integer_io",
                "max_accuracy_drop",
                "sparsity",
                "clusters",
                "optimize_epochs",
                "keep_versions",
            )
        },
    )
    if (FLAGS.workdir is None) == (FLAGS.task_pack is None):
        raise TailorError("Expected one of --workdir and --task_pack.")
    if FLAGS.workdir:
        common.read_flags_of_run(FLAGS.workdir)
    universal = load_universal(FLAGS.universal, **common.universal_config())
    if FLAGS.workdir:
        exported = exportable.from_run(FLAGS.workdir, universal)
        folder = FLAGS.exports or os.path.join(FLAGS.workdir, "exports")
    else:
        exported = exportable.from_task_pack(FLAGS.task_pack, universal)
        folder = FLAGS.exports or pathlib.Path(FLAGS.task_pack).parent / "exports"
    task = common.task_from_flags(universal.graph.input_shape[0], universal.graph.normalisation)
    published = exporter.export(exported, task, folder, options)
    print(f"\n{published.summary}\nVersion {published.version} is in {published.files}", end="")
    print(f" and {published.model}." if published.model else ".")


if __name__ == "__main__":
    common.run(main)
