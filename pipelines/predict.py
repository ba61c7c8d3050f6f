"""Classifies image files with an exported artifact or with TensorFlow Serving.

python -m pipelines.predict --artifact=exports/files/flowers/1/int8.tflite photo.jpg folder/
python -m pipelines.predict --grpc=localhost:8500 --model=flowers photo.jpg
python -m pipelines.predict --artifact=exports/tflite/1/int8.tflite --name=flowers photo.jpg
"""

import sys

from absl import flags

from export.serving import client, patience
from pipelines.common import paths, program, values
from tailor_tf.support.errors import TailorError
from tailor_tf.support.text import one_line, printable

FLAGS = flags.FLAGS

paths.define(
    "artifact",
    paths.EITHER,
    None,
    "A .tflite or .onnx file, the folder of a SavedModel, or the folder of a bundle's ONNX files.",
)
values.define_text("grpc", None, "TensorFlow Serving's gRPC address, host:port.")
values.define_text("rest", None, "TensorFlow Serving's REST address, http://host:port.")
values.define_text("model", None, "The model's name at the server: the task's name, or tasks.")
values.define_text("name", None, "Name of the task, for an artifact or a model of many tasks.")
values.define_number(
    "timeout",
    patience.TIMEOUT,
    "Seconds in which a server has to answer a request of some images, time to load the model "
    "included.",
    above=0,
    most=86400,
)


def classifier() -> client.Classifier:
    """The classifier that the flags name."""
    given = [name for name in ("artifact", "grpc", "rest") if FLAGS[name].value]
    if len(given) != 1:
        raise TailorError(
            f"Received {' and '.join(f'--{n}' for n in given) or 'no classifier'}; expected one of "
            "--artifact, --grpc and --rest."
        )
    task = FLAGS.name
    if FLAGS.artifact:
        return client.local(FLAGS.artifact, task)
    if not FLAGS.model:
        raise TailorError("A server has many models; name one with --model.")
    if FLAGS.grpc:
        return client.grpc(FLAGS.grpc, FLAGS.model, task, FLAGS.timeout)
    return client.rest(FLAGS.rest, FLAGS.model, task, FLAGS.timeout)


def main(argv: list[str]) -> None:
    """Prints file, class and score of each image, separated by tabs."""
    if len(argv) < 2:
        raise TailorError("Name image files or folders of images after the flags.")
    classify, refused = classifier(), 0
    for path, answer in client.classify(client.image_files(argv[1:]), classify):
        if isinstance(answer, client.Answer):
            named = printable(str(path)), printable(answer.class_name)
            print(*named, f"{answer.score:.4f}", sep="\t", flush=True)
        else:
            refused += 1
            print(one_line(f"{path}: {answer}"), file=sys.stderr)
    if refused:
        raise TailorError(f"{refused} of the images were not classified; see above.")


if __name__ == "__main__":
    program.run(main)
