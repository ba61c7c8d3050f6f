"""Files in zip archives of other people, which may grow a thousandfold when they are read."""

import zipfile
import zlib

from tailor_tf.support import limits

# Errors over a missing or damaged file: encrypted and unknown ones have no class of their own.
ERRORS = (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError)


def read(archive: zipfile.ZipFile, name: str) -> bytes:
    """Reads a description in an archive.

    Args:
        archive: the archive.
        name: name of the file in it.

    Raises:
        ValueError: the file is larger than descriptions are, whatever size the archive declares.
        ERRORS: there is no such file, or it is damaged.
    """
    with archive.open(name) as file:
        content = file.read(limits.JSON_BYTES + 1)
    if len(content) > limits.JSON_BYTES:
        raise ValueError(f"{name} is larger than {limits.JSON_BYTES:,} bytes")
    return content
