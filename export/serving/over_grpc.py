"""Classification by TensorFlow Serving over gRPC."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export.saved_model import requests
from export.serving import answers, patience
from export.serving.answers import Answer, Classifier, RefusedError, ServerError, UnavailableError
from tailor_tf.support import extras, limits

# In gRPC's details on a reply of more bytes than it may read; requests are the server's matter.
_TOO_LONG = "CLIENT: Received message larger than max"


def grpc(
    address: str,
    model: str,
    task: str | None = None,
    timeout: float = patience.TIMEOUT,
    max_reply: int = limits.REPLY_BYTES,
) -> Classifier:
    """Classifies with TensorFlow Serving over gRPC.

    Args:
        address: `host:port`.
        model: the model's name.
        task: name of one task in a model of many; `None` for a model of one.
        timeout: seconds for a request, with all its attempts.
        max_reply: largest reply, bytes; it has 8 for each image and class.

    Raises:
        ServerError: the address or a name is none that gRPC can transport.
        extras.MissingPackageError: TensorFlow Serving's messages are not installed.
    """
    extras.require("tensorflow_serving")
    import grpc as library
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    _check(address, model, task or "")
    channel = library.insecure_channel(
        address, options=[("grpc.max_receive_message_length", max_reply)]
    )
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    _, signature = requests.signatures(task)

    def classify(images: Sequence[bytes]) -> list[Answer]:
        deadline = patience.Deadline(timeout)
        request = requests.predict_request(model, signature, encoded=np.asarray(images, object))

        def ask() -> Any:
            try:
                return stub.Predict(request, timeout=deadline.left).outputs
            except library.RpcError as error:
                if _TOO_LONG in (error.details() or ""):
                    raise answers.too_long(address, max_reply) from error
                raise _refusal(library, address, model, deadline, error) from error

        outputs = patience.answered(
            address, deadline, ask, lambda: _states(channel, model, deadline)
        )
        return answers.checked(
            address, len(images), _pairs(address, outputs, len(images), max_reply)
        )

    return classify


def _check(address: str, *names: str) -> None:
    usable = all(address.partition(":")) and address.isprintable()
    if not usable or address.startswith(("http://", "https://")):
        raise ServerError(f"{address!r} is no address of a server; expected host:port.")
    for name in names:
        if not name.isprintable():
            raise ServerError(f"{name!r} is no name of a model or task; expected printable UTF-8.")


def _refusal(
    library: Any, address: str, model: str, deadline: patience.Deadline, error: Any
) -> ServerError | RefusedError:
    """The error for a call that failed."""
    code, details = error.code(), error.details()
    if code is library.StatusCode.INVALID_ARGUMENT:
        return RefusedError(answers.reason(details or ""))
    if code is library.StatusCode.DEADLINE_EXCEEDED:
        return patience.too_late(address, deadline)
    absent = (library.StatusCode.NOT_FOUND, library.StatusCode.UNAVAILABLE)
    kind = UnavailableError if code in absent else ServerError
    return kind(
        f"{address} does not answer for {model}: {code.name}, {answers.excerpt(details)}. Is "
        "TensorFlow Serving running there, with a model of this name?"
    )


def _states(channel: Any, model: str, deadline: patience.Deadline) -> list[str]:
    """States of a model's versions; none if the server does not say."""
    import grpc as library
    from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    try:
        reply = stub.GetModelStatus(request, timeout=deadline.left)
    except library.RpcError:
        return []
    names = get_model_status_pb2.ModelVersionStatus.State
    return [
        names.Name(version.state)
        for version in reply.model_version_status
        if version.state in names.values()
    ]


def _pairs(address: str, outputs: Any, count: int, most: int) -> list[tuple[str, list[float]]]:
    """Classes and scores in a reply, whose tensors are looked at before they are unpacked."""
    known = {name: outputs[name] for name in ("class_name", "scores") if name in outputs}
    if len(known) != 2:
        raise answers.unlike(address, "no tensors class_name and scores")
    names = _array(address, known["class_name"], tf.string, [count], most)
    scores = _array(address, known["scores"], tf.float32, [count, None], most)
    texts = [name.decode(errors="surrogateescape") for name in names]
    return list(zip(texts, scores.tolist(), strict=True))


def _array(
    address: str, proto: Any, dtype: tf.DType, expected: Sequence[int | None], most: int
) -> np.ndarray:
    """A tensor of a reply, if it has the type and the sides that are expected.

    A message may repeat one value as often as its sides say: its numbers have `most` bytes, too.
    """
    sides = [dimension.size for dimension in proto.tensor_shape.dim]
    fits = len(sides) == len(expected) and all(
        side > 0 and wanted in (None, side) for side, wanted in zip(sides, expected, strict=False)
    )
    if proto.dtype != dtype.as_datatype_enum or not fits or math.prod(sides) > most // 4:
        raise answers.unlike(address, f"a tensor of sides {sides[:4]} or of another type")
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise answers.unlike(address, "a tensor with another number of values") from error
