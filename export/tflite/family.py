"""The entry of TFLite in the registry of formats."""

from export.format import Family
from export.tflite import artifacts, runtime, single
from export.tflite.shared import SharedTFLite

TFLITE = Family(
    name="tflite",
    usage="a .tflite file",
    formats=artifacts.formats,
    recognises=lambda path: path.suffix == ".tflite",
    load=runtime.load,
    modules=("ai_edge_litert.interpreter",),
    precisions=single.PRECISIONS,
    shared=SharedTFLite(),
    describe=single.read_info,
)
