"""The entry of TFLite in the registry of formats."""

from export.format import Family
from export.tflite import artifacts, runtime
from export.tflite.shared import SharedTFLite
from export.tflite.single import PRECISIONS

TFLITE = Family(
    name="tflite",
    usage="a .tflite file",
    formats=artifacts.formats,
    recognises=lambda path: path.suffix == ".tflite",
    load=runtime.load,
    modules=("ai_edge_litert.interpreter",),
    precisions=PRECISIONS,
    shared=SharedTFLite(),
)
