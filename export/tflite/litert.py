"""LiteRT's interpreter, with its errors in the words of this project."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from export.metadata import ArtifactError

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter


def interpreter(path: str | os.PathLike, threads: int) -> "Interpreter":
    """Opens a TFLite file, without a tensor in memory yet.

    Raises:
        ArtifactError: LiteRT cannot read the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    with explained(path):
        return Interpreter(model_path=os.fspath(path), num_threads=threads)


@contextlib.contextmanager
def explained(path: str | os.PathLike) -> Iterator[None]:
    """Context manager: an error of LiteRT over a file becomes one that names file and reason.

    Raises:
        ArtifactError: LiteRT cannot load or run the file.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:  # LiteRT has no class of its own
        reason = re.sub(r"(.{8,}?)\1+", r"\1", " ".join(str(error).split()))  # it repeats itself
        raise ArtifactError(
            f"LiteRT cannot run {os.fspath(path)}: {reason.rstrip('.')}. Export the network again, "
            "with other values of --precision if the file is new."
        ) from error
