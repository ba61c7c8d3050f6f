"""A client that classifies image files: with an artifact here, or by TensorFlow Serving."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from export import encoded, formats
from export.metadata import ArtifactError
from export.saved_model.single import is_saved_model
from export.serving import answers
from export.serving.answers import Answer, Classifier, RefusedError
from export.serving.over_grpc import grpc
from export.serving.rest import rest
from tailor_tf.support.text import printable

__all__ = [
    "Answer",
    "Classifier",
    "RefusedError",
    "classify",
    "grpc",
    "image_files",
    "local",
    "rest",
]

SUFFIXES = (".jpg", ".jpeg", ".png")
BATCH = 16  # images of a request at most
MAX_REQUEST = 3 * 1024 * 1024  # bytes of images; servers and proxies refuse long messages


def local(path: str | os.PathLike, task: str | None = None) -> Classifier:
    """Classifies with an artifact on this machine.

    Args:
        path: the artifact's file or folder.
        task: name of one task in an artifact of many; `None` for an artifact of one.

    Raises:
        ArtifactError: the artifact is missing or damaged, or has no such task.
    """
    _warn_of_code(pathlib.Path(path))
    runtime = formats.load(path, task=task)
    square, classes = runtime.info.preprocessing.square, runtime.info.classes

    def classify(images: Sequence[bytes]) -> list[Answer]:
        try:
            pixels = np.stack([encoded.decode(tf.constant(image), square) for image in images])
        except tf.errors.InvalidArgumentError as error:
            raise RefusedError(answers.reason(error.message)) from error
        scores = tf.nn.softmax(runtime.logits(pixels)).numpy()
        if not np.isfinite(scores).all():
            raise ArtifactError(f"{os.fspath(path)} answers scores that are no finite numbers.")
        return [Answer(classes[row.argmax()], float(row.max())) for row in scores]

    return classify


def _warn_of_code(path: pathlib.Path) -> None:
    """Says that loading runs code, for a SavedModel that is not where `exporter` publishes them."""
    models = path.resolve().parents[1:2]  # the folder of models, of versions
    published = any(folder.name == "serving" for folder in models)
    if is_saved_model(path) and not published:
        logging.warning(
            "%s is a SavedModel, which may contain any code and runs it when it is loaded. Load "
            "only your own or one that you trust; ask others for a .tflite or .onnx file.",
            printable(str(path)),
        )


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
