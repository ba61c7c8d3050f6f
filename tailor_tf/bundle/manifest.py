"""Manifest of a bundle: the list of its files with their checksums."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping

from tailor_tf.support.errors import TailorError
from tailor_tf.support.json_text import parsed, sealed, unsealed

FORMAT_VERSION = 1

_NAME = re.compile(r"\w[\w.-]{0,99}")  # of bundles of earlier versions; now `names.checked`
_HASH = re.compile(r"[0-9a-f]{64}")


class BundleError(TailorError):
    """The bundle cannot be read, or cannot be changed as asked; it stays as it was."""


def _spelled(name: str) -> str:
    """Returns the name of a task in a manifest.

    Raises:
        BundleError: the name could lead out of a directory, such as a name with "/".
    """
    if not _NAME.fullmatch(name):
        raise BundleError(
            f"{name!r} cannot be the name of a task in a bundle; expected at most 100 letters, "
            "digits, '_', '-' and '.', the first one a letter, a digit or '_'."
        )
    return name


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file of a bundle.

    Attributes:
        sha256: SHA-256 of its content, in hex; also its name.
        bytes: its size.

    Raises:
        BundleError: `sha256` is not a SHA-256 in hex, or `bytes` is no whole number.
    """

    sha256: str
    bytes: int

    def __post_init__(self):
        if type(self.bytes) is not int:
            raise BundleError(f"{self.bytes!r} is not a size; expected a number of bytes.")
        if not _HASH.fullmatch(self.sha256):
            raise BundleError(f"{self.sha256!r} is not a SHA-256; expected 64 digits 0-9 and a-f.")

    @classmethod
    def of(cls, content: bytes) -> "Entry":
        """The entry of a file with this content."""
        return cls(hashlib.sha256(content).hexdigest(), len(content))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Files of a bundle and their checksums; other files in its directory are ignored.

    Attributes:
        fingerprint: fingerprint of the universal network.
        universal: the file of the universal network.
        tasks: the files of the task packs, by the tasks' names.
    """

    fingerprint: str
    universal: Entry
    tasks: Mapping[str, Entry]

    @property
    def total_bytes(self) -> int:
        """Size of all files together, each counted once."""
        return sum(entry.bytes for entry in {self.universal, *self.tasks.values()})

    def in_words(self) -> str:
        """Number of tasks and size, such as "2 tasks, 1.27 MB"."""
        tasks = f"{len(self.tasks)} task{'s' if len(self.tasks) > 1 else ''}"
        return f"{tasks}, {self.total_bytes / 1e6:.2f} MB"

    def to_json(self) -> str:
        """The manifest as one JSON object, with a checksum."""
        data = sealed({"bundle": FORMAT_VERSION, **dataclasses.asdict(self)})
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, origin: str) -> "Manifest":
        """The inverse of `to_json`.

        Args:
            text: the JSON object.
            origin: the file of the manifest, for the error message.

        Raises:
            BundleError: the manifest is damaged, or was written by a newer version of this project.
                One without a checksum, of an earlier version, is read as it is.
        """
        try:
            data = parsed(text)
            version = data["bundle"]
            if version == FORMAT_VERSION:
                data = unsealed(data)
                tasks = {_spelled(name): Entry(**e) for name, e in data["tasks"].items()}
                if not isinstance(data["fingerprint"], str):
                    raise TypeError("the fingerprint is no text")
                return cls(data["fingerprint"], Entry(**data["universal"]), tasks)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{origin} is damaged: {error!r}. Restore it from a copy, or create the bundle "
                "anew."
            ) from error
        raise BundleError(
            f"{origin} has format {version} and this program reads {FORMAT_VERSION}; take the "
            "newer version of tailor_tf that wrote it."
        )
