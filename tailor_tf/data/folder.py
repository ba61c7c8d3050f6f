"""Tasks from folders of images: `PATH/<split>/<class>/<image>`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from tailor_tf.data.errors import DataError
from tailor_tf.data.images import (
    MEMORY_BUDGET,
    ImageFiles,
    Images,
    decode_files,
    image_bytes,
)
from tailor_tf.data.source import Found, Source
from tailor_tf.data.splits import Split
from tailor_tf.data.square import Square

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
"""File name endings that are read, in lower or upper case."""

_SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
_NAMES_SHOWN = 3


@dataclasses.dataclass(frozen=True, eq=False)
class _Listing:
    """Content of a split's folder.

    Attributes:
        classes: class names, sorted.
        paths: file paths, object `[examples]`.
        labels: positions in `classes`, int32 `[examples]`.
    """

    classes: tuple[str, ...]
    paths: np.ndarray
    labels: np.ndarray


def load_folder(path: str, square: Square) -> Found:
    """Reads the splits of a folder of images.

    The images are decoded at once if all of them fit in `images.MEMORY_BUDGET`. Otherwise they are
    decoded whenever they are read.

    Args:
        path: folder with `train`, and optionally `validation` (or `val`) and `test`, each with one
            folder of images per class; or a folder of class folders, which becomes `train`. `~`
            is the home folder.
        square: the rule that makes images square.

    Returns:
        The class names in sorted order, and the splits found, by name.

    Raises:
        DataError: if the folder is missing or has another layout, if a class has no images, if the
            splits have different classes, or if an image cannot be decoded.
    """
    folders = _split_folders(Path(path).expanduser())
    listings = {name: _list_split(folder) for name, folder in folders.items()}
    classes = listings["train"].classes
    for name, listing in listings.items():
        _check_same_classes(name, listing.classes, classes)
    count = sum(len(listing.paths) for listing in listings.values())
    in_memory = image_bytes(count, square.side) <= MEMORY_BUDGET
    return classes, {
        name: Split(name, listing.labels, _images(listing.paths, square, in_memory))
        for name, listing in listings.items()
    }


def _images(paths: np.ndarray, square: Square, in_memory: bool) -> Images:
    return decode_files(paths, square) if in_memory else ImageFiles(paths, square)


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split; the root itself is `train` if it has no folders of splits."""
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise DataError(
            f"Image folder {root} {kind}; expected a folder with train/<class>/<image> or"
            " <class>/<image> in it. Check the path after 'folder:'."
        )
    found = {
        split: root / name
        for split, names in _SPLIT_FOLDERS.items()
        for name in reversed(names)
        if (root / name).is_dir()
    }
    if not found:
        return {"train": root}
    if "train" not in found:
        raise DataError(
            f"Image folder {root} has {', '.join(sorted(found))} but no train; expected a folder"
            f" {root / 'train'} with one folder of images per class. Add it."
        )
    return found


def _list_split(folder: Path) -> _Listing:
    class_folders = sorted(entry for entry in _visible(folder) if entry.is_dir())
    _check_class_count(folder, [entry.name for entry in class_folders])
    files, skipped = [], []
    for class_folder in class_folders:
        images, others = _list_class(class_folder)
        files.append(images)
        skipped += others
    if skipped:
        logging.warning(
            "Skipped %d file(s) or folder(s) in %s that do not end like image files (%s): %s",
            len(skipped),
            folder,
            " ".join(IMAGE_SUFFIXES),
            _first_names(skipped),
        )
    labels = np.repeat(np.arange(len(files), dtype=np.int32), [len(images) for images in files])
    paths = np.array([str(path) for images in files for path in images], dtype=object)
    return _Listing(tuple(entry.name for entry in class_folders), paths, labels)


def _visible(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))]


def _list_class(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the images of a class and all other entries of its folder, each sorted."""
    entries = sorted(_visible(folder))
    images = [
        entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()
    ]
    others = sorted(set(entries) - set(images))
    if not images:
        holds = _first_names(others) if others else "nothing"
        raise DataError(
            f"Class folder {folder} has no images; it holds {holds}. Expected files ending in"
            f" {' '.join(IMAGE_SUFFIXES)} directly in it. Add images or remove the folder."
        )
    return images, others


def _check_class_count(folder: Path, names: Sequence[str]) -> None:
    if not names:
        raise DataError(
            f"Folder {folder} has no class folders; expected at least two, each with the images"
            " of one class. Sort the images into one folder per class."
        )
    if len(names) == 1:
        raise DataError(
            f"Folder {folder} has the single class {names[0]!r}; expected at least two classes,"
            " because a network cannot learn to distinguish one class. Check that the path is not"
            " one level too high or too low."
        )


def _check_same_classes(name: str, found: tuple[str, ...], expected: tuple[str, ...]) -> None:
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or unknown:
        raise DataError(
            f"Split {name!r} has other classes than 'train': missing {_first_names(missing)},"
            f" unknown {_first_names(unknown)}. Expected the same class folders in every split."
        )


def _first_names(names: Sequence[object]) -> str:
    shown = ", ".join(str(name) for name in names[:_NAMES_SHOWN]) or "none"
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


SOURCE = Source(
    usage="'folder:PATH' (PATH/train/<class>/<image>, or PATH/<class>/<image>)",
    load=lambda rest, square, data_dir: load_folder(rest, square),
    name=lambda rest: Path(rest).expanduser().resolve().name,
    mirrors=lambda rest: True,
    place=lambda rest: str(Path(rest).expanduser().resolve()),
)
