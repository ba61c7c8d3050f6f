"""ONNX files: current operator set, free batch, labels and preprocessing in the metadata.

The input is a normalised image `[batch, height, width, 3]`, as that of the TFLite files.
"""

import os
import pathlib
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from export.metadata import ArtifactError, Metadata

OPSET = 18  # the newest that tf2onnx writes
METADATA_KEY = "tailor_tf"


def convert(network: keras.Model, metadata: Metadata) -> bytes:
    """Converts a network for ONNX runtimes.

    Args:
        network: functional, from normalised images to logits, folded for speed.
        metadata: what goes into the file's metadata, under `tailor_tf`.

    Returns:
        A model that passes ONNX's checker, from `images` to `logits`, batch free.
    """
    import onnx

    model = convert_signature(network, [images_signature(network)])
    finish(model, metadata)
    onnx.checker.check_model(model, full_check=True)
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


def finish(model: Any, metadata: Metadata) -> None:
    """Names the one output of a converted model, frees its batch and writes its metadata."""
    import onnx

    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["logits" if name == output.name else name for name in node.output]
    output.name = "logits"
    for value in (*model.graph.input, output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})


def read_metadata(path: str | os.PathLike) -> Metadata:
    """Reads the metadata of an ONNX file.

    Raises:
        ArtifactError: the file is no ONNX file of this project.
    """
    import google.protobuf.message
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        properties = {p.key: p.value for p in model.metadata_props}
        return Metadata.from_json(properties[METADATA_KEY])
    except (google.protobuf.message.DecodeError, KeyError) as error:
        raise ArtifactError(
            f"{os.fspath(path)} holds no metadata {METADATA_KEY}; expected an ONNX file that "
            "pipelines.export wrote."
        ) from error
