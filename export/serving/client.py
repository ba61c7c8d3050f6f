"""A client that classifies image files: with an artifact here, or by TensorFlow Serving."""

import base64
import dataclasses
import json
import os
import pathlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export import encoded, formats
from export.metadata import ArtifactError
from export.saved_model import requests

SUFFIXES = (".jpg", ".jpeg", ".png")
BATCH = 16  # images of a request at most
MAX_REQUEST = 3 * 1024 * 1024  # bytes of images; servers and proxies refuse long messages
TIMEOUT = 30.0  # seconds


@dataclasses.dataclass(frozen=True)
class Answer:
    """The likeliest class of an image, and its score, 0..1."""

    class_name: str
    score: float


class RefusedError(ArtifactError):
    """Images that were not accepted; other requests are."""


Classifier = Callable[[Sequence[bytes]], list[Answer]]  # from contents of image files


def local(path: str | os.PathLike, task: str | None = None) -> Classifier:
    """Classifies with an artifact on this machine.

    Args:
        path: the artifact's file or folder.
        task: name of one task in an artifact of many; `None` for an artifact of one.

    Raises:
        ArtifactError: the artifact is missing or damaged, or has no such task.
    """
    runtime = formats.load(path, task=task)
    square, classes = runtime.info.preprocessing.square, runtime.info.classes

    def classify(images: Sequence[bytes]) -> list[Answer]:
        try:
            pixels = np.stack([encoded.decode(tf.constant(image), square) for image in images])
        except tf.errors.InvalidArgumentError as error:
            raise RefusedError(_reason(error.message)) from error
        scores = tf.nn.softmax(runtime.logits(pixels)).numpy()
        if not np.isfinite(scores).all():
            raise ArtifactError(f"{os.fspath(path)} answers scores that are no finite numbers.")
        return [Answer(classes[row.argmax()], float(row.max())) for row in scores]

    return classify


def grpc(address: str, model: str, task: str | None = None) -> Classifier:
    """Classifies with TensorFlow Serving over gRPC.

    Args:
        address: `host:port`.
        model: the model's name.
        task: name of one task in a model of many; `None` for a model of one.
    """
    import grpc as library
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    channel = library.insecure_channel(address)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    _, signature = requests.signatures(task)

    def classify(images: Sequence[bytes]) -> list[Answer]:
        request = requests.predict_request(model, signature, encoded=np.asarray(images, object))
        try:
            outputs = stub.Predict(request, timeout=TIMEOUT).outputs
        except library.RpcError as error:
            if error.code() is library.StatusCode.INVALID_ARGUMENT:
                raise RefusedError(_reason(error.details())) from error
            raise ArtifactError(
                f"{address} does not answer for {model}: {error.code().name}, "
                f"{_first_line(error.details())}. Is TensorFlow Serving running there, with a "
                "model of this name?"
            ) from error
        names, scores = (tf.make_ndarray(outputs[name]) for name in ("class_name", "scores"))
        return [Answer(n.decode(), float(s.max())) for n, s in zip(names, scores, strict=True)]

    return classify


def rest(url: str, model: str, task: str | None = None) -> Classifier:
    """Classifies with TensorFlow Serving over REST.

    Args:
        url: `http://host:port`.
        model: the model's name.
        task: name of one task in a model of many; `None` for a model of one.
    """
    place = f"{url.rstrip('/')}/v1/models/{model}:predict"
    _, signature = requests.signatures(task)

    def classify(images: Sequence[bytes]) -> list[Answer]:
        instances = [{"encoded": {"b64": base64.b64encode(i).decode()}} for i in images]
        predictions = _posted(place, {"signature_name": signature, "instances": instances})
        return [Answer(p["class_name"], float(max(p["scores"]))) for p in predictions]

    return classify


def _posted(place: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The predictions with which a server answers a request over REST."""
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(place, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        details = error.read().decode(errors="replace")
        if error.code == 400:
            raise RefusedError(_reason(details)) from error
        raise ArtifactError(f"{place} answers {error.code}: {details}") from error
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"{place} does not answer: {error}. Is TensorFlow Serving running there?"
        ) from error


def _first_line(text: str) -> str:
    return (text or "no details").strip().splitlines()[0]


def _reason(message: str) -> str:
    """TensorFlow's message on an image that it does not accept, without the place in its graph."""
    said = re.search(r"assertion failed: \[(.*?)\]|Summarized data: b'(.*?)'", message, re.DOTALL)
    if said:
        return said[1] or said[2]
    return re.sub(r"\{\{.*?\}\} *|\[\[.*|\[Op:.*", "", _first_line(message)).strip()


def image_files(paths: Iterable[str | os.PathLike]) -> list[pathlib.Path]:
    """Image files that are named, and image files in folders that are named.

    Raises:
        ArtifactError: a path that does not exist, or a folder without a file of `SUFFIXES`.
    """
    found: list[pathlib.Path] = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise ArtifactError(f"{path} holds no image; expected {', '.join(SUFFIXES)}.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ArtifactError(f"There is no file {path}.")
    return found


def classify(
    files: Sequence[pathlib.Path], classifier: Classifier
) -> Iterator[tuple[pathlib.Path, Answer | RefusedError]]:
    """Classifies files, several in a request; yields each with its answer or with its refusal."""
    for group in _groups(files):
        contents = [path.read_bytes() for path in group]
        try:
            yield from zip(group, classifier(contents), strict=True)
        except RefusedError:
            for path, content in zip(group, contents, strict=True):  # one of them is to blame
                yield path, _alone(classifier, content)


def _alone(classifier: Classifier, content: bytes) -> Answer | RefusedError:
    if not content:
        return RefusedError("The file is empty.")
    try:
        return classifier([content])[0]
    except RefusedError as error:
        return error


def _groups(files: Sequence[pathlib.Path]) -> Iterator[list[pathlib.Path]]:
    """Files of one request each: `BATCH` files and `MAX_REQUEST` bytes at most."""
    group: list[pathlib.Path] = []
    size = 0
    for path in files:
        own = path.stat().st_size
        if group and (len(group) == BATCH or size + own > MAX_REQUEST):
            yield group
            group, size = [], 0
        group.append(path)
        size += own
    if group:
        yield group
