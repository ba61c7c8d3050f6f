"""A client that classifies image files: with an artifact here, or by TensorFlow Serving."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from export import formats, integrity
from export.metadata import ArtifactError
from export.saved_model.single import is_saved_model
from export.serving.answers import Answer, Classifier, RefusedError
from export.serving.over_grpc import grpc
from export.serving.rest import rest
from tailor_tf.data.decoding import decode_content
from tailor_tf.data.errors import DataError
from tailor_tf.data.formats import SUFFIXES
from tailor_tf.data.listing import list_images, warn_of_skipped
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
            pixels = np.stack([decode_content(image, square) for image in images])
        except DataError as error:
            raise RefusedError(str(error)) from error
        scores = tf.nn.softmax(runtime.logits(pixels)).numpy()
        if scores.shape[-1] != len(classes):
            raise ArtifactError(
                f"{os.fspath(path)} answers {scores.shape[-1]} scores for {len(classes)} classes. "
                "Export the task again."
            )
        if not np.isfinite(scores).all():
            raise ArtifactError(f"{os.fspath(path)} answers scores that are no finite numbers.")
        return [
            Answer(classes[row.argmax()], float(row.max()), tuple(row.tolist()), tuple(classes))
            for row in scores
        ]

    return classify


def _warn_of_code(path: pathlib.Path) -> None:
    """Says that loading runs code, for a SavedModel that does not look as `exporter` leaves them.

    That is no proof of who made it: a stranger can write the same folder with the same record.
    """
    models = path.resolve().parents[1:2]  # the folder of models, of versions
    in_place = any(folder.name == "serving" for folder in models)
    if is_saved_model(path) and not (in_place and integrity.is_recorded(path)):
        logging.warning(
            "%s is a SavedModel, which may contain any code and runs it when it is loaded. Load "
            "only your own or one that you trust; ask others for a .tflite or .onnx file.",
            printable(str(path)),
        )


def image_files(paths: Iterable[str | os.PathLike]) -> list[pathlib.Path]:
    """Files that are named, and image files in folders that are named, at any depth.

    The rules for folders are those of the training. What is skipped is named in a warning. Links
    that lead nowhere are returned, and `classify` refuses them.

    Raises:
        ArtifactError: a path that does not exist, or a folder without an image.
    """
    found: list[pathlib.Path] = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            found += _inside(path)
        elif os.path.lexists(path):
            found.append(path)
        else:
            raise ArtifactError(f"There is no file {path}.")
    return found


def _inside(folder: pathlib.Path) -> list[pathlib.Path]:
    listing = list_images(folder, nested=True)
    lost = [path for path in listing.skipped if _is_lost(path)]
    warn_of_skipped(folder, [path for path in listing.skipped if path not in lost])
    if not listing.images and not lost:
        raise ArtifactError(f"{folder} holds no image; expected {', '.join(SUFFIXES)}.")
    return sorted([*listing.images, *lost])


def _is_lost(path: pathlib.Path) -> bool:
    """Whether a path is a link, named like an image, to a file that does not exist."""
    return path.is_symlink() and not path.exists() and path.suffix.lower() in SUFFIXES


def classify(
    files: Iterable[pathlib.Path], classifier: Classifier
) -> Iterator[tuple[pathlib.Path, Answer | RefusedError]]:
    """Classifies files, several in a request; yields each with its answer or with its refusal."""
    for group in _groups(files):
        contents = [content for _, content in group if isinstance(content, bytes)]
        answers = iter(_answers(contents, classifier))
        for path, content in group:
            yield path, next(answers) if isinstance(content, bytes) else content


def _answers(contents: Sequence[bytes], classifier: Classifier) -> Sequence[Answer | RefusedError]:
    """The answers of one request; if it is refused, those of a request for each image."""
    try:
        return classifier(contents) if contents else []
    except RefusedError as error:
        if len(contents) == 1:
            return [error]
        return [_answers([content], classifier)[0] for content in contents]


def _groups(
    files: Iterable[pathlib.Path],
) -> Iterator[list[tuple[pathlib.Path, bytes | RefusedError]]]:
    """Files of one request each, with contents: `BATCH` and `MAX_REQUEST` bytes at most."""
    group: list[tuple[pathlib.Path, bytes | RefusedError]] = []
    size = 0
    for path in files:
        content = _content(path)
        own = len(content) if isinstance(content, bytes) else 0
        if group and (len(group) == BATCH or size + own > MAX_REQUEST):
            yield group
            group, size = [], 0
        group.append((path, content))
        size += own
    if group:
        yield group


def _content(path: pathlib.Path) -> bytes | RefusedError:
    """The content of a file; devices and pipes are not opened."""
    try:
        if path.exists() and not path.is_file():
            return RefusedError("This is no file.")
        return path.read_bytes() or RefusedError("The file is empty.")
    except OSError as error:
        return RefusedError(f"{error.strerror}.")
