"""What says which files of a bundle count: its manifest."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping

from tailor_tf.support.errors import TailorError

FORMAT_VERSION = 1

_NAME = re.compile(r"\w[\w.-]{0,99}")
_HASH = re.compile(r"[0-9a-f]{64}")


class BundleError(TailorError):
    """A bundle that cannot be read or changed as asked; it stays as it was."""


def checked_name(name: str) -> str:
    """Returns the name of a task, if it is one: it may become that of a file or a signature.

    Raises:
        BundleError: it is not; such as one that leads out of a directory.
    """
    if not _NAME.fullmatch(name):
        raise BundleError(
            f"{name!r} cannot be the name of a task in a bundle; expected letters, digits, '_', "
            "'-' and '.', one of the first three in front, 100 at most. Give it another name."
        )
    return name


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file of a bundle.

    Attributes:
        sha256: of what it holds, in hex; its name.
        bytes: its size.
    """

    sha256: str
    bytes: int

    def __post_init__(self):
        if not _HASH.fullmatch(self.sha256):
            raise BundleError(f"{self.sha256!r} is no SHA-256 in hex.")

    @classmethod
    def of(cls, content: bytes) -> "Entry":
        """The entry of a file that holds `content`."""
        return cls(hashlib.sha256(content).hexdigest(), len(content))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Which files of a bundle count.

    Attributes:
        fingerprint: that of the universal network.
        universal: the file of the universal network.
        tasks: those of the task packs, by the tasks' names.
    """

    fingerprint: str
    universal: Entry
    tasks: Mapping[str, Entry]

    @property
    def total_bytes(self) -> int:
        """Size of the files together, each counted once."""
        return sum(entry.bytes for entry in {self.universal, *self.tasks.values()})

    def to_json(self) -> str:
        """The manifest as one JSON object."""
        return json.dumps({"bundle": FORMAT_VERSION, **dataclasses.asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, origin: str) -> "Manifest":
        """The inverse of `to_json`.

        Args:
            text: the JSON object.
            origin: where it comes from, for the error.

        Raises:
            BundleError: it is damaged, or was written by a newer program.
        """
        try:
            data = json.loads(text)
            version = data["bundle"]
            if version == FORMAT_VERSION:
                tasks = {checked_name(name): Entry(**e) for name, e in data["tasks"].items()}
                return cls(data["fingerprint"], Entry(**data["universal"]), tasks)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{origin} is damaged: {error!r}. Restore it from a copy, or create the bundle "
                "anew."
            ) from error
        raise BundleError(
            f"{origin} has format {version} and this program reads {FORMAT_VERSION}; take the "
            "newer one that wrote it."
        )
