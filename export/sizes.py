"""How many bytes an artifact takes, be it a file or a folder."""

import gzip
import pathlib


def on_disk(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(part.stat().st_size for part in _parts(path))


def compressed(path: pathlib.Path) -> int:
    """The same with each file compressed by gzip."""
    return sum(len(gzip.compress(part.read_bytes())) for part in _parts(path))


def _parts(path: pathlib.Path) -> list[pathlib.Path]:
    parts = path.rglob("*") if path.is_dir() else [path]
    return [part for part in parts if part.is_file()]
