"""Files of the Visual Domain Decathlon's challenge: annotations, results, and what they score.

The annotations are COCO-style JSON, `<domain>_train.json` and `<domain>_test_stripped.json` in the
development kit: `images` with `id` and `file_name`, `categories` with `id`, and `annotations` with
`image_id` and `category_id`. A result file is a list of `{"image_id", "category_id"}`.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import write_text

_PREFIX = "data/"  # of file names in the annotations, and not of those in the archives
_KIT = "downloads/extracted/*/decathlon-1.0/annotations"  # in TensorFlow Datasets' folder


class ChallengeError(TailorError):
    """A file of the challenge that is missing or does not hold what it should."""


@dataclasses.dataclass(frozen=True)
class Annotations:
    """What a result file needs to know of a domain.

    Attributes:
        category_ids: of the classes, in the order of their labels.
        image_ids: of the test images, by name in the archive, such as "dtd/test/000001.jpg".
    """

    category_ids: tuple[int, ...]
    image_ids: dict[str, int]


def find_annotations(data_dir: str | os.PathLike) -> pathlib.Path:
    """The folder of annotations that TensorFlow Datasets unpacked when it prepared the decathlon.

    Raises:
        ChallengeError: there is none.
    """
    found = sorted(pathlib.Path(data_dir).expanduser().glob(_KIT))
    if not found:
        raise ChallengeError(
            f"No annotations in {data_dir}/{_KIT}, where TensorFlow Datasets unpacks them. Unpack "
            "decathlon-1.0-devkit.tar.gz and name its folder of annotations."
        )
    return found[0]


def read_annotations(folder: str | os.PathLike, domain: str) -> Annotations:
    """Reads `<domain>_train.json` and `<domain>_test_stripped.json` in a folder of annotations.

    Raises:
        ChallengeError: a file is missing or holds something else.
    """
    folder = pathlib.Path(folder)
    categories = _entries(folder / f"{domain}_train.json", "categories", "id")
    images = _entries(folder / f"{domain}_test_stripped.json", "images", "id", "file_name")
    return Annotations(
        tuple(category["id"] for category in categories),
        {image["file_name"].removeprefix(_PREFIX): image["id"] for image in images},
    )


def write_results(
    path: str | os.PathLike,
    annotations: Annotations,
    names: Sequence[str],
    labels: Sequence[int],
) -> None:
    """Writes predictions in the challenge's format.

    Args:
        path: the file to write.
        annotations: of the domain.
        names: test images, by name in the archive.
        labels: the predicted label of each.

    Raises:
        ChallengeError: the images are not those of the annotations.
    """
    unknown, left = set(names) - set(annotations.image_ids), set(annotations.image_ids) - set(names)
    if unknown or left:
        raise ChallengeError(
            f"{len(names)} test images do not fit {len(annotations.image_ids)} annotations: "
            f"{len(unknown)} unknown, {len(left)} without prediction, such as "
            f"{sorted(unknown or left)[0]!r}. Are annotations and images of one version?"
        )
    if max(labels) >= len(annotations.category_ids):
        raise ChallengeError(
            f"There are predictions of class {max(labels)} and {len(annotations.category_ids)} "
            "categories in the annotations; expected as many as the network has classes."
        )
    results = [
        {
            "image_id": annotations.image_ids[name],
            "category_id": annotations.category_ids[label],
        }
        for name, label in zip(names, labels, strict=True)
    ]
    write_text(path, json.dumps(results) + "\n")


def accuracy(results: str | os.PathLike, labels: str | os.PathLike) -> float:
    """Top-1 accuracy of a result file in percent.

    Args:
        results: a file of `write_results`.
        labels: COCO-style annotations of the same images, with `annotations`.

    Raises:
        ChallengeError: a file is missing, holds something else, or an image has no prediction.
    """
    keys = ("image_id", "category_id")
    given = {entry["image_id"]: entry["category_id"] for entry in _entries(results, None, *keys)}
    wanted = {e["image_id"]: e["category_id"] for e in _entries(labels, "annotations", *keys)}
    missing = sorted(wanted.keys() - given.keys())
    if missing or not wanted:
        what = f"image {missing[0]} of {len(missing)} such" if missing else "any image"
        raise ChallengeError(f"{results} does not answer {labels}: no prediction for {what}.")
    return 100 * sum(given[image] == category for image, category in wanted.items()) / len(wanted)


def _entries(path: str | os.PathLike, key: str | None, *fields: str) -> list[dict[str, Any]]:
    """A list of objects with some fields from a JSON file: the file itself, or its value `key`."""
    path = pathlib.Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content[key] if key else content
        if all(field in entry for entry in entries for field in fields):
            return entries
        problem = f"an entry lacks one of {', '.join(fields)}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    what = f"{key!r}, a list" if key else "a list"
    raise ChallengeError(
        f"Cannot use {path} ({problem}); expected COCO-style JSON with {what} of objects with "
        f"{' and '.join(fields)}."
    )
