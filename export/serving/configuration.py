"""What TensorFlow Serving needs beside a SavedModel: configurations, warm-up, a compose file."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from tailor_tf.support import files

WARM_UP = pathlib.Path("assets.extra") / "tf_serving_warmup_requests"
GRPC_PORT, REST_PORT = 8500, 8501
MAX_BATCH = 32

_BATCHING = f"""\
# Requests that come within a millisecond share a batch, if batching is on: add to compose.yaml
# --enable_batching=true and --batching_parameters_file=/models/batching.config. All images of a
# batch have one size then, and one that cannot be decoded fails its whole batch.
max_batch_size {{ value: {MAX_BATCH} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: 4 }}
"""

_MONITORING = """\
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

_COMPOSE = f"""\
services:
  serving:
    image: tensorflow/serving:latest
    ports:
      - "{GRPC_PORT}:{GRPC_PORT}"
      - "{REST_PORT}:{REST_PORT}"
    volumes:
      - .:/models:ro
    command:
      - --model_config_file=/models/models.config
      - --model_config_file_poll_wait_seconds=30
      - --monitoring_config_file=/models/monitoring.config
"""


SIGNATURES = ("serving_default", "encoded_images")  # for tensors and for encoded images


def predict_request(task: str, signature: str, **inputs: np.ndarray):
    """A `PredictRequest` to the newest version of a task's model."""
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = task
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(_tensor_proto(value))
    return request


def _tensor_proto(value: np.ndarray):
    """A tensor as a message; one of the same value throughout, such as grey, in few bytes."""
    first = value.flat[0]
    if value.dtype != object and np.all(value == first):
        return tf.make_tensor_proto(first, shape=value.shape)
    return tf.make_tensor_proto(value)


def write_warm_up(
    model: str | os.PathLike,
    task: str,
    image: np.ndarray,
    signatures: Sequence[tuple[str, str]] = (SIGNATURES,),
) -> None:
    """Writes requests into a SavedModel that a server answers before it serves it.

    Args:
        model: the SavedModel's folder.
        task: the model's name.
        image: uint8 `[height, width, 3]`, of the usual size.
        signatures: pairs of signatures, for tensors and for encoded images.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    png = tf.io.encode_png(image).numpy()
    requests = [
        predict_request(task, signature, **{name: np.stack([value] * batch)})
        for batch in (1, MAX_BATCH)
        for for_tensors, for_encoded in signatures
        for signature, name, value in (
            (for_tensors, "images", image),
            (for_encoded, "encoded", np.asarray(png, object)),
        )
    ]
    path = pathlib.Path(model) / WARM_UP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def write_configurations(folder: str | os.PathLike) -> None:
    """Writes the configurations for all models in a folder, and what starts a server on them.

    Args:
        folder: what the server sees as `/models`: a folder of versions per model. A batching
            configuration, a monitoring configuration and a compose file that are there are kept.
    """
    from tensorflow_serving.config import model_server_config_pb2

    folder = pathlib.Path(folder)
    config = model_server_config_pb2.ModelServerConfig()
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            model = config.model_config_list.config.add()
            model.name, model.base_path = path.name, f"/models/{path.name}"
            model.model_platform = "tensorflow"
    files.write_text(folder / "models.config", text_format.MessageToString(config))
    for name, text in (
        ("batching.config", _BATCHING),
        ("monitoring.config", _MONITORING),
        ("compose.yaml", _COMPOSE),
    ):
        if not (folder / name).exists():
            files.write_text(folder / name, text)
