"""Flags of files and folders: `~` is expanded, and a file for a folder is refused when parsed."""

import os
from typing import Any

from absl import flags

from pipelines.common import values

FILE, FOLDER, EITHER = "a file", "a folder", "a file or a folder"


def expanded(path: str) -> str:
    """A path with a leading `~` replaced by the home directory, which shells do not do after `=`.

    Raises:
        ValueError: there is no user of that name.
    """
    found = os.path.expanduser(path)
    if found.startswith("~"):
        user = found.partition(os.sep)[0]
        raise ValueError(f"there is no home directory of {user}; expected ./{path} for such a name")
    return found


class PathParser(flags.ArgumentParser):
    """Parser of a path, which may be missing, but is nothing else than `kind` if it exists.

    Args:
        kind: `FILE`, `FOLDER` or `EITHER`. Pipes and devices are neither.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self.syntactic_help = kind

    def parse(self, argument: str) -> str:
        if not argument.strip():
            raise ValueError(f"expected {self.kind}, received nothing")
        path = expanded(argument)
        received = _kind_of(path)
        if received is not None and received not in self.kind:
            raise ValueError(f"expected {self.kind}; {path} is {received}")
        return path


class _NameOrPathParser(flags.ArgumentParser):
    """Parser of a known name, or of a path."""

    def parse(self, argument: str) -> str:
        if not argument.strip():
            raise ValueError("expected a name or a file, received nothing")
        return expanded(argument)


def _kind_of(path: str) -> str | None:
    """What a path is; `None` if it does not exist."""
    if os.path.isdir(path):
        return FOLDER
    if os.path.isfile(path):
        return FILE
    return "neither a file nor a folder" if os.path.exists(path) else None


def define(name: str, kind: str, default: str | None, text: str, **options: Any) -> None:
    """Defines a flag of a path of a kind: `FILE`, `FOLDER` or `EITHER`."""
    serializer = flags.ArgumentSerializer()
    flags.DEFINE(PathParser(kind), name, default, text, serializer=serializer, **options)


def define_name_or_path(name: str, default: str | None, text: str) -> None:
    """Defines a flag of something known by name, or of a file."""
    flags.DEFINE(_NameOrPathParser(), name, default, text, serializer=flags.ArgumentSerializer())


def define_list(name: str, kind: str, text: str, **options: Any) -> None:
    """Defines a flag of paths separated by commas."""
    values.define_list(name, None, text, PathParser(kind).parse, **options)
