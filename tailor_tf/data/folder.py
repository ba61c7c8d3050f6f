"""Tasks from folders of images: `PATH/<split>/<class>/<image>`."""

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tailor_tf.data import fingerprint
from tailor_tf.data.broken import settle
from tailor_tf.data.errors import DataError
from tailor_tf.data.formats import SUFFIXES
from tailor_tf.data.images import (
    MEMORY_BUDGET,
    ImageFiles,
    Images,
    decode_files,
    image_bytes,
    look_at_files,
)
from tailor_tf.data.listing import by_kind, list_images, visible, warn_of_skipped
from tailor_tf.data.progress import Progress
from tailor_tf.data.source import Found, Source
from tailor_tf.data.split_folders import split_folders
from tailor_tf.data.splits import Split
from tailor_tf.data.square import Square
from tailor_tf.support.text import first_names


@dataclasses.dataclass(frozen=True, eq=False)
class _Listing:
    """Images of a split's folder.

    Attributes:
        classes: class names, sorted.
        paths: file paths, object `[examples]`.
        labels: positions in `classes`, int32 `[examples]`.
    """

    classes: tuple[str, ...]
    paths: np.ndarray
    labels: np.ndarray

    def without(self, positions: Sequence[int]) -> "_Listing":
        """The listing without the images at some positions."""
        paths, labels = (np.delete(values, positions) for values in (self.paths, self.labels))
        return _Listing(self.classes, paths, labels)

    def by_class(self) -> dict[str, np.ndarray]:
        """The file paths of each class, by its name."""
        return {name: self.paths[self.labels == i] for i, name in enumerate(self.classes)}


def load_folder(
    path: str,
    square: Square,
    *,
    skip_broken: bool = False,
    looked_at: Mapping[str, fingerprint.Fingerprint] | None = None,
) -> Found:
    """Reads the splits of a folder of images.

    All images are decoded at once, in parallel. They are kept if all of them fit in
    `images.MEMORY_BUDGET`. Otherwise they are decoded again whenever they are read, and not at once
    if it is known that none of them is broken.

    Args:
        path: folder with `train`, and optionally folders of validation and test images, each with
            one folder of images per class; or a folder of class folders, which becomes `train`, see
            `split_folders`. `~` is the home folder.
        square: the rule that makes images square.
        skip_broken: whether to leave out images that cannot be decoded.
        looked_at: fingerprints of splits, by name, in which no image is broken as an earlier
            program found.

    Returns:
        The class names in sorted order, and the splits found, by name.

    Raises:
        DataError: if the folder is missing or has another layout, if a class has no images, if the
            splits have different classes, or if images cannot be decoded.
    """
    folders = split_folders(Path(path).expanduser())
    listings = {name: _list_split(folder) for name, folder in folders.items()}
    classes = listings["train"].classes
    listings = {name: _with_classes(name, found, classes) for name, found in listings.items()}
    count = sum(len(listing.paths) for listing in listings.values())
    in_memory = image_bytes(count, square.side) <= MEMORY_BUDGET
    # An image that was damaged since then is refused when it is read, and not left out.
    may_be_known = looked_at and not in_memory and not skip_broken
    if may_be_known and _fingerprints(listings) == looked_at:
        images = {name: ImageFiles(found.paths, square) for name, found in listings.items()}
    else:
        images, listings = _decoded(listings, square, in_memory, skip_broken)
    prints = _fingerprints(listings)
    return classes, {
        name: Split(name, listing.labels, images[name], prints[name])
        for name, listing in listings.items()
    }


def _decoded(
    listings: Mapping[str, _Listing], square: Square, in_memory: bool, skip_broken: bool
) -> tuple[dict[str, Images], dict[str, _Listing]]:
    """Images and listings of all splits, without broken images if these may be skipped."""
    count = sum(len(listing.paths) for listing in listings.values())
    progress = Progress(f"Looking at {count} images", count)
    images: dict[str, Images] = {}
    kept: dict[str, _Listing] = {}
    broken: dict[str, str] = {}
    for name, listing in listings.items():
        if in_memory:
            pixels, reasons = decode_files(listing.paths, square, progress=progress)
            images[name] = np.delete(pixels, list(reasons), axis=0) if reasons else pixels
        else:
            reasons = look_at_files(listing.paths, square, progress=progress)
            images[name] = ImageFiles(np.delete(listing.paths, list(reasons)), square)
        kept[name] = listing.without(list(reasons))
        broken |= {listing.paths[place]: reason for place, reason in reasons.items()}
    progress.end()
    settle(broken, count, skip=skip_broken)
    _check_no_class_is_empty(kept["train"])
    return images, kept


def _check_no_class_is_empty(train: _Listing) -> None:
    empty = [name for name, paths in train.by_class().items() if not len(paths)]
    if empty:
        raise DataError(
            f"No image of the class(es) {first_names(empty)} can be decoded; expected one or more"
            " for training. Repair the images or remove the class."
        )


def _fingerprints(listings: Mapping[str, _Listing]) -> dict[str, fingerprint.Fingerprint]:
    sizes = [Path(path).stat().st_size for found in listings.values() for path in found.paths]
    content = sum(sizes) <= fingerprint.CONTENT_BYTES
    return {
        name: fingerprint.of_files(found.by_class(), content=content)
        for name, found in listings.items()
    }


def _list_split(folder: Path) -> _Listing:
    entries = visible(folder)
    class_folders = [entry for entry in entries if entry.is_dir()]
    _check_classes(folder, [entry.name for entry in class_folders])
    files, skipped = [], [entry for entry in entries if not entry.is_dir()]
    for class_folder in class_folders:
        listing = list_images(class_folder)
        if not listing.images:
            raise _no_images(class_folder, listing.skipped)
        files.append(listing.images)
        skipped += listing.skipped
    warn_of_skipped(folder, skipped)
    labels = np.repeat(np.arange(len(files), dtype=np.int32), [len(images) for images in files])
    paths = np.array([str(path) for images in files for path in images], dtype=object)
    return _Listing(tuple(entry.name for entry in class_folders), paths, labels)


def _no_images(class_folder: Path, skipped: Sequence[Path]) -> DataError:
    holds = by_kind(skipped) if skipped else "nothing"
    return DataError(
        f"Class folder {class_folder} has no images; it holds {holds}. Expected files ending in"
        f" {' '.join(SUFFIXES)} directly in it. Add images or remove the folder."
    )


def _check_classes(folder: Path, names: Sequence[str]) -> None:
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
    for name in names:
        if not _is_text(name):
            raise DataError(
                f"The name of the class folder {name!r} in {folder} is not UTF-8; expected text,"
                " because reports and artifacts show it. Rename the folder."
            )
    taken: dict[str, str] = {}
    for name in names:
        if taken.setdefault(_composed(name), name) != name:
            raise DataError(
                f"Folder {folder} has two class folders named {name}, with letters and accents"
                " written in different ways; expected one. Move the images of one into the other."
            )


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _composed(name: str) -> str:
    """The form of a name in which letters and accents are one character."""
    return unicodedata.normalize("NFC", name)


def _with_classes(name: str, listing: _Listing, classes: tuple[str, ...]) -> _Listing:
    """The listing of a split with the classes of the training images, in their order."""
    expected = {_composed(known): label for label, known in enumerate(classes)}
    found = [_composed(own) for own in listing.classes]
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or unknown:
        raise DataError(
            f"Split {name!r} has other classes than 'train': missing {first_names(missing)},"
            f" unknown {first_names(unknown)}. Expected the same class folders in every split."
        )
    labels = np.array([expected[own] for own in found], np.int32)[listing.labels]
    return _Listing(classes, listing.paths, labels)


SOURCE = Source(
    usage="'folder:PATH' (PATH/train/<class>/<image>, or PATH/<class>/<image>)",
    load=lambda rest, reading: load_folder(
        rest, reading.square, skip_broken=reading.skip_broken, looked_at=reading.looked_at
    ),
    name=lambda rest: Path(rest).expanduser().resolve().name,
    mirrors=lambda rest: True,
    place=lambda rest: str(Path(rest).expanduser().resolve()),
)
