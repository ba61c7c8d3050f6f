"""TFLite's flatbuffers as objects, and back with equal parts written once.

The objects belong to LiteRT's schema. A flatbuffer refers to its vectors by their positions, so
that any number of tensors can refer to the same one: kernels, but also shapes and the zero points
of symmetric scales, eight bytes a channel, all of them zero.
"""

from collections.abc import Collection

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # of constants; LiteRT reads them where they lie in the file


def read(content: bytes) -> schema.ModelT:
    """The objects of a flatbuffer; bytes behind it, such as a zip archive, are not read."""
    return schema.ModelT.InitFromPackedBuf(bytearray(content), 0)


def write(model: schema.ModelT, apart: Collection[int] = ()) -> bytes:
    """The inverse of `read`.

    Args:
        model: the objects.
        apart: positions of buffers whose contents are written for themselves, also if others are
            equal.
    """
    builder = _Builder(1 << 20, [model.buffers[position].data for position in apart])
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):
    """Writes each vector and each string once, constants where LiteRT can read them in place.

    Args:
        size: bytes to begin with.
        apart: vectors that are not shared with equal ones.
    """

    def __init__(self, size: int, apart: Collection[np.ndarray]):
        super().__init__(size)
        self._apart = {id(vector) for vector in apart}
        self._written: dict[tuple, int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802, a name of the library
        key = (x.dtype.str, x.tobytes(), id(x) if id(x) in self._apart else None)
        if key not in self._written:
            if x.dtype == np.uint8:
                self.Prep(_ALIGNMENT, x.size)
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def CreateString(self, s: str | bytes, *args: str) -> int:  # noqa: N802
        key = ("string", s)
        if key not in self._written:
            self._written[key] = super().CreateString(s, *args)
        return self._written[key]
