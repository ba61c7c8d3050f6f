"""Image files in a folder: the same rules for the training and for the client."""

import collections
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import logging

from tailor_tf.data.formats import SUFFIXES
from tailor_tf.support.text import first_names


@dataclasses.dataclass(frozen=True)
class Listing:
    """Content of a folder, each part sorted.

    Hidden files, and those that archives of macOS add, are in neither part.

    Attributes:
        images: files whose names end like those of images.
        skipped: everything else.
    """

    images: tuple[Path, ...]
    skipped: tuple[Path, ...]


def list_images(folder: Path, *, nested: bool = False) -> Listing:
    """Lists a folder.

    Args:
        folder: the folder.
        nested: whether images in its folders, at any depth, belong to it; links to folders are not
            followed.

    Raises:
        OSError: the folder cannot be read; nested ones are skipped instead.
    """
    images, skipped = [], []
    for entry in visible(folder):
        if is_image(entry):
            images.append(entry)
        elif nested and _can_be_entered(entry):
            inside = list_images(entry, nested=True)
            images += inside.images
            skipped += inside.skipped
        else:
            skipped.append(entry)
    return Listing(tuple(images), tuple(skipped))


def _can_be_entered(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and os.access(path, os.R_OK | os.X_OK)


def visible(folder: Path) -> list[Path]:
    """The entries of a folder, sorted, without hidden ones and those of macOS's archives."""
    entries = sorted(folder.iterdir())
    return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]


def is_image(path: Path) -> bool:
    """Whether a path is a file, no folder, device or pipe, whose name ends like an image's."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def warn_of_skipped(folder: Path, skipped: Sequence[Path]) -> None:
    """Warns of what is not read in a folder, if there is anything, counted by kind."""
    if skipped:
        logging.warning(
            "Skipped %d file(s) or folder(s) in %s that are no files ending like images (%s): %s",
            len(skipped),
            folder,
            " ".join(SUFFIXES),
            by_kind(skipped),
        )


def kind(path: Path) -> str:
    """What a path is that is no image: the ending of a file, "folder", or another word."""
    if path.is_symlink() and not path.exists():
        return "broken link"
    if path.is_dir():
        return "folder"
    if not path.is_file():
        return "device or pipe"
    return path.suffix.lower() or "without ending"


def by_kind(paths: Iterable[Path]) -> str:
    """Paths for a person, counted by kind: `2 .txt (a.txt, b.txt), 1 folder (c)`."""
    kinds = collections.defaultdict(list)
    for path in paths:
        kinds[kind(path)].append(path.name)
    return ", ".join(f"{len(names)} {kind} ({first_names(names)})" for kind, names in kinds.items())
