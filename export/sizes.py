"""Sizes of artifacts, be they files or folders."""

import gzip
import pathlib
from collections.abc import Sequence

from tailor_tf.support.text import aligned


def on_disk(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(part.stat().st_size for part in _parts(path))


def compressed(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files in a folder, each compressed by gzip."""
    return sum(len(gzip.compress(part.read_bytes())) for part in _parts(path))


def table(paths: Sequence[pathlib.Path]) -> list[str]:
    """A table of artifacts and their sizes."""
    rows = [[str(path), f"{on_disk(path) / 1e3:,.0f}"] for path in paths]
    return aligned([["artifact", "size (KB)"], *rows])


def _parts(path: pathlib.Path) -> list[pathlib.Path]:
    parts = path.rglob("*") if path.is_dir() else [path]
    return [part for part in parts if part.is_file()]
