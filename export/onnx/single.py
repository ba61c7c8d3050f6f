"""ONNX files of one task: current operator set, free batch, classes and preprocessing inside.

The input is a normalised image `[batch, height, width, 3]`, as the input of TFLite files.
"""

import os
import pathlib
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from export import metadata, parity
from export.format import Format, Subject
from export.metadata import ArtifactError
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.support.json_text import parsed

OPSET = 18  # the newest that tf2onnx writes
METADATA_KEY = "tailor_tf"


class ONNX(Format):
    """An ONNX file in float32."""

    name = "onnx"
    file_name = "float32.onnx"
    limits = parity.FLOAT32

    def write(self, path: pathlib.Path, subject: Subject) -> None:
        path.write_bytes(convert(subject.folded, subject.info))


def convert(network: keras.Model, info: TaskInfo) -> bytes:
    """Converts a network for ONNX runtimes.

    Args:
        network: functional, from normalised images to logits, folded for speed.
        info: the task, which goes into the file's metadata under `METADATA_KEY`.

    Returns:
        A model that passes ONNX's checker, from `images` to `logits`, batch free.

    Raises:
        ArtifactError: the network has an operation that the converter has no form of.
    """
    import onnx

    model = convert_signature(network, [images_signature(network)])
    finish(model, info)
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ArtifactError(
            f"{network.name} cannot be written as ONNX: {str(error).splitlines()[0]} Leave out "
            "this format: --formats=saved_model,tflite."
        ) from error
    return model.SerializeToString()


def images_signature(network: keras.Model) -> tf.TensorSpec:
    """The input of a converted network: normalised images, batch free."""
    return tf.TensorSpec([None, *network.input.shape[1:]], tf.float32, name="images")


def convert_signature(model: keras.Model, signature: Sequence[Any]) -> Any:
    """Converts a model with inputs of such specifications to an `onnx.ModelProto`."""
    import onnx

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of how Keras mends tf2onnx for NumPy 2
        path = pathlib.Path(folder) / "model.onnx"
        model.export(
            path, format="onnx", verbose=False, input_signature=signature, opset_version=OPSET
        )
        return onnx.load(path)


def finish(model: Any, info: TaskInfo) -> None:
    """Names the one output of an `onnx.ModelProto`, frees its batch and writes its metadata."""
    import onnx

    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["logits" if name == output.name else name for name in node.output]
    output.name = "logits"
    for value in (*model.graph.input, output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    text = metadata.to_json(info, _network(model))
    onnx.helper.set_model_props(model, {METADATA_KEY: text})


def _network(model: Any) -> bytes:
    """An `onnx.ModelProto` without its properties, as bytes."""
    bare = type(model)()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    return bare.SerializeToString(deterministic=True)


def read_info(path: str | os.PathLike) -> TaskInfo:
    """Reads the description of the task in an ONNX file.

    Raises:
        ArtifactError: the file is no ONNX file of this project.
    """
    return metadata.from_json(_read(path)[1], os.fspath(path))


def check(path: str | os.PathLike) -> None:
    """Refuses an ONNX file whose network was altered.

    Raises:
        ArtifactError: the network is not the one that the file describes.
    """
    model, text = _read(path)
    metadata.check_network(parsed(text), _network(model), os.fspath(path))


def _read(path: str | os.PathLike) -> tuple[Any, str]:
    """The `onnx.ModelProto` in a file, without kernels beside it, and its description."""
    import google.protobuf.message
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        return model, {p.key: p.value for p in model.metadata_props}[METADATA_KEY]
    except (google.protobuf.message.DecodeError, KeyError, ValueError) as error:
        raise ArtifactError(
            f"{os.fspath(path)} holds no metadata {METADATA_KEY}; expected an ONNX file that "
            "pipelines.export wrote."
        ) from error
