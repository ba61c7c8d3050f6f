"""Files of the Visual Domain Decathlon challenge: annotations and results, and their accuracy.

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

_PREFIX = "data/"  # start of file names in the annotations, not in the archives
_KIT = "downloads/extracted/*/decathlon-1.0/annotations"  # in TensorFlow Datasets' folder


class ChallengeError(TailorError):
    """A file of the challenge is missing or has another content than expected."""


@dataclasses.dataclass(frozen=True)
class Annotations:
    """Ids of the categories and test images of a domain, which result files contain.

    Attributes:
        category_ids: category ids of the classes, in the order of their labels.
        image_ids: ids of the test images, by name in the archive, such as "dtd/test/000001.jpg".
    """

    category_ids: tuple[int, ...]
    image_ids: dict[str, int]


def find_annotations(data_dir: str | os.PathLike) -> pathlib.Path:
    """The folder of annotations that TensorFlow Datasets unpacked when it prepared the decathlon.

    Raises:
        ChallengeError: there is no such folder.
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
        ChallengeError: a file is missing or has another content.
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
        annotations: the ids of the domain.
        names: names of the test images in the archive.
        labels: predicted label of each image.

    Raises:
        ChallengeError: the images are not the same as in the annotations, or a label has no
            category.
    """
    unknown, left = set(names) - set(annotations.image_ids), set(annotations.image_ids) - set(names)
    if unknown or left:
        raise ChallengeError(
            f"{len(names)} test images do not fit {len(annotations.image_ids)} annotations: "
            f"{len(unknown)} unknown, {len(left)} without prediction, such as "
            f"{sorted(unknown or left)[0]!r}. Use annotations and images of the same version."
        )
    if max(labels) >= len(annotations.category_ids):
        raise ChallengeError(
            f"There are predictions of class {max(labels)} and {len(annotations.category_ids)} "
            "categories in the annotations; expected one category for each class of the network."
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
        labels: COCO-style JSON with the `annotations` of the same images.

    Raises:
        ChallengeError: a file is missing or has another content, or an image has no prediction.
    """
    keys = ("image_id", "category_id")
    given = {entry["image_id"]: entry["category_id"] for entry in _entries(results, None, *keys)}
    wanted = {e["image_id"]: e["category_id"] for e in _entries(labels, "annotations", *keys)}
    missing = sorted(wanted.keys() - given.keys())
    if missing or not wanted:
        what = f"image {missing[0]} of {len(missing)} such" if missing else "any image"
        raise ChallengeError(
            f"{results} does not answer {labels}: no prediction for {what}. Expected a prediction "
            "for every labelled image."
        )
    return 100 * sum(given[image] == category for image, category in wanted.items()) / len(wanted)


def _entries(path: str | os.PathLike, key: str | None, *fields: str) -> list[dict[str, Any]]:
    """A list of objects with `fields` from a JSON file: the whole file, or its value `key`."""
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
