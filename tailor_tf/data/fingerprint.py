"""Fingerprints of the images of a split, by class, to notice that they changed.

A fingerprint is a few letters for each class. It depends on nothing but the files, so that a copy
of the images on another machine has the same one.
"""

import hashlib
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

CONTENT_BYTES = 256 * 1024**2
"""Bytes of the largest set of files whose content is looked at; of a larger one, the sizes are."""

_LETTERS = 16  # of a fingerprint

Fingerprint = Mapping[str, str]  # by class name; empty if it is not known


def of_files(classes: Mapping[str, Sequence[str]], *, content: bool) -> dict[str, str]:
    """The fingerprint of files: their names, sizes and perhaps content.

    Args:
        classes: paths of the files of each class, by class name.
        content: whether to look at the content, too.
    """
    return {name: _of_files(paths, content) for name, paths in classes.items()}


def _of_files(paths: Sequence[str], content: bool) -> str:
    digest = hashlib.sha256()
    for path in map(Path, paths):
        name = os.fsencode(unicodedata.normalize("NFC", path.name))
        digest.update(b"%d %s %d " % (len(name), name, path.stat().st_size))
        if content:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:_LETTERS]


def of_labels(labels: np.ndarray, classes: Sequence[str], origin: str) -> dict[str, str]:
    """The fingerprint of labelled examples of a published data set.

    Args:
        labels: positions in the classes, int `[examples]`.
        classes: class names.
        origin: name and version of the data set.
    """
    found = {}
    for label, name in enumerate(classes):
        places = np.flatnonzero(labels == label).astype("<i8").tobytes()
        found[name] = hashlib.sha256(origin.encode() + places).hexdigest()[:_LETTERS]
    return found
