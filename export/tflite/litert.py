"""LiteRT's interpreter, with its errors in the words of this project."""

import contextlib
import math
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from export.metadata import ArtifactError
from tailor_tf.support import limits

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter


def interpreter(path: str | os.PathLike, threads: int) -> "Interpreter":
    """Opens a TFLite file, without a tensor in memory yet.

    Raises:
        ArtifactError: LiteRT cannot read the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    with explained(path):
        found = Interpreter(model_path=os.fspath(path), num_threads=threads)
        _check_size(found)
    return found


def _check_size(opened: "Interpreter") -> None:
    """Refuses a network whose tensors a few bytes of shapes declare larger than memory is."""
    details = opened.get_tensor_details()
    sizes = [math.prod(map(int, d["shape"])) * np.dtype(d["dtype"]).itemsize for d in details]
    if (received := sum(sizes)) > limits.TENSOR_BYTES:
        raise ValueError(
            f"its tensors have {received:,} bytes, expected {limits.TENSOR_BYTES:,} at most"
        )


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
