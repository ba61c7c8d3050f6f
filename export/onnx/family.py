"""The entry of ONNX in the registry of formats."""

from export.format import Family
from export.onnx import runtime, single
from export.onnx.shared import SharedONNX

ONNX = Family(
    name="onnx",
    usage="an .onnx file",
    formats=lambda options: [single.ONNX()],
    recognises=lambda path: path.suffix == ".onnx",
    load=runtime.load,
    modules=("onnxruntime", "onnx"),
    writer_modules=("tf2onnx",),
    shared=SharedONNX(),
    describe=single.read_info,
)
