"""Requests to a SavedModel in TensorFlow Serving: names of signatures, messages, and warm-up."""

import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tailor_tf.support.names import ENCODED

WARM_UP = pathlib.Path("assets.extra") / "tf_serving_warmup_requests"
MAX_BATCH = 32  # images of a batch that the server puts together
SIGNATURES = ("serving_default", "encoded_images")  # for tensors and for encoded images


def signatures(task: str | None = None) -> tuple[str, str]:
    """The signatures of a task for tensors and for encoded images.

    Args:
        task: name of one task in a model of many; `None` for a model of one.
    """
    return SIGNATURES if task is None else (task, f"{task}{ENCODED}")


def predict_request(model: str, signature: str, **inputs: np.ndarray):
    """A `PredictRequest` to the newest version of a model.

    Args:
        model: the model's name.
        signature: the signature's name.
        **inputs: arrays by the names that the signature has for them.
    """
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(_tensor_proto(value))
    return request


def _tensor_proto(value: np.ndarray):
    """A tensor as a message; a tensor of equal values, such as a grey image, in few bytes."""
    first = value.flat[0]
    if value.dtype != object and np.all(value == first):
        return tf.make_tensor_proto(first, shape=value.shape)
    return tf.make_tensor_proto(value)


def write_warm_up(
    folder: str | os.PathLike,
    model: str,
    image: np.ndarray,
    pairs: Sequence[tuple[str, str]] = (SIGNATURES,),
) -> None:
    """Writes requests into a SavedModel that a server answers before it serves the model.

    Args:
        folder: the SavedModel's folder.
        model: the model's name.
        image: uint8 `[height, width, 3]`, of the usual size.
        pairs: names of signatures, for tensors and for encoded images.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    path = pathlib.Path(folder) / WARM_UP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in _warm_up_requests(model, image, pairs):
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def _warm_up_requests(
    model: str, image: np.ndarray, pairs: Sequence[tuple[str, str]]
) -> Iterator[object]:
    """Requests of one image and of a full batch to every signature."""
    png = np.asarray(tf.io.encode_png(image).numpy(), object)
    for batch in (1, MAX_BATCH):
        for of_tensors, of_encoded in pairs:
            yield predict_request(model, of_tensors, images=np.stack([image] * batch))
            yield predict_request(model, of_encoded, encoded=np.stack([png] * batch))
