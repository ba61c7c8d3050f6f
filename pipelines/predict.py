"""Classifies image files with an exported artifact or with TensorFlow Serving.

python -m pipelines.predict --artifact=exports/files/flowers/1/int8.tflite photo.jpg folder/
python -m pipelines.predict --grpc=localhost:8500 --model=flowers photo.jpg
python -m pipelines.predict --artifact=exports/tflite/1/int8.tflite --name=flowers photo.jpg
python -m pipelines.predict --artifact=exports/files/flowers/1/int8.tflite --json --top_k=5 folder/
"""

import sys

from absl import flags

from export.serving import client, patience
from pipelines.common import answers, largest, paths, program, values
from tailor_tf.support import limits
from tailor_tf.support.errors import TailorError

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
values.define_integer(
    "max_reply",
    limits.REPLY_BYTES // limits.MIB,
    "Largest reply of a server to a request of some images, MiB.",
    least=1,
    most=1024,
)
largest.define()
values.define_integer(
    "top_k", 1, "Number of the likeliest classes to print.", least=1, most=values.MANY
)
paths.define(
    "labels",
    paths.FILE,
    None,
    "labels.txt of the export, for --top_k with a server, which names one class.",
)
flags.DEFINE_bool("json", False, "Print a JSON object for each file, also for one with an error.")
flags.DEFINE_bool(
    "csv", False, f"Print comma-separated rows for each file, with a header: {answers.CSV_HEADER}."
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
        largest.apply()
        return client.local(FLAGS.artifact, task)
    if not FLAGS.model:
        raise TailorError("A server has many models; name one with --model.")
    ask, address = (client.grpc, FLAGS.grpc) if FLAGS.grpc else (client.rest, FLAGS.rest)
    return ask(address, FLAGS.model, task, FLAGS.timeout, FLAGS.max_reply * limits.MIB)


def line() -> answers.Line:
    """The form of the output that the flags name."""
    if FLAGS.json and FLAGS.csv:
        raise TailorError("Received --json and --csv; expected one of them.")
    if FLAGS.top_k > 1 and not (FLAGS.artifact or FLAGS.labels):
        raise TailorError(
            f"--top_k is {FLAGS.top_k}, and a server names the likeliest class alone; name "
            "labels.txt of the export with --labels."
        )
    return answers.as_json if FLAGS.json else answers.as_csv if FLAGS.csv else answers.text


def main(argv: list[str]) -> None:
    """Prints the classes of each image; errors of single files go to the standard error."""
    if len(argv) < 2:
        raise TailorError("Name image files or folders of images after the flags.")
    as_line, labels, refused = line(), answers.read_labels(FLAGS.labels), 0
    classify, files = classifier(), client.image_files(argv[1:])
    if FLAGS.csv:
        print(answers.CSV_HEADER)
    for path, answer in client.classify(files, classify):
        if isinstance(answer, client.Answer):
            print(as_line(path, answers.ranking(answer, FLAGS.top_k, labels)), flush=True)
        else:
            refused += 1
            to_person = as_line is answers.text
            print(as_line(path, answer), file=sys.stderr if to_person else sys.stdout, flush=True)
    if refused:
        raise TailorError(f"{refused} of the images were not classified; see above.")


if __name__ == "__main__":
    program.run(main)
