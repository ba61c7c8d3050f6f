"""Folders of the splits in a folder of images."""

from pathlib import Path

from absl import logging

from tailor_tf.data.errors import DataError
from tailor_tf.data.listing import visible
from tailor_tf.support.text import first_names

_NAMES = {
    "train": ("train",),
    "validation": ("validation", "val", "valid", "dev", "eval"),
    "test": ("test",),
}
_SPLITS = {name: split for split, names in _NAMES.items() for name in names}


def split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split; the root itself is `train` if it has no folders of splits.

    The names of splits are read in upper and lower case. A folder with such a name is a class, not
    a split, if none of them holds folders and there are other folders beside them. Folders beside
    those of the splits are named in a warning.

    Args:
        root: the folder of images.

    Returns:
        The folders by "train", "validation" and "test".

    Raises:
        DataError: no such folder, two folders for one split, or no training images.
    """
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise DataError(
            f"Image folder {root} {kind}; expected a folder with train/<class>/<image> or"
            " <class>/<image> in it. Check the path after 'folder:'."
        )
    folders = [entry for entry in visible(root) if entry.is_dir()]
    named = [folder for folder in folders if folder.name.lower() in _SPLITS]
    others = [folder for folder in folders if folder not in named]
    if not named or (others and not any(map(_holds_folders, named))):
        return {"train": root}
    found = _by_split(root, named)
    if others:
        logging.warning(
            "Images in %s are not used: beside the splits %s, expected no other folders.",
            first_names(others),
            first_names([folder.name for folder in named]),
        )
    return found


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() for entry in visible(folder))


def _by_split(root: Path, named: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in named:
        split = _SPLITS[folder.name.lower()]
        if split in found:
            raise DataError(
                f"Image folder {root} has the folders {found[split].name} and {folder.name} for"
                f" the split {split!r}; expected one. Move the images of one into the other."
            )
        found[split] = folder
    if "train" not in found:
        raise DataError(
            f"Image folder {root} has {', '.join(sorted(found))} but no train; expected a folder"
            f" {root / 'train'} with one folder of images per class. Add it."
        )
    return found
