"""A universal network: its description, its frozen weights and how its images were prepared."""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import keras
import numpy as np

from tailor_tf import backbones
from tailor_tf.backbones import weights
from tailor_tf.graph import BlockGraph, build_network

SHIPPED = {
    "tiny_imagenet": pathlib.Path(__file__).with_name("shipped")
    / "wide_resnet26_w0.5_32_tiny_imagenet.safetensors",
}


@dataclasses.dataclass(frozen=True)
class Universal:
    """A universal network that any number of tasks shares; never trained again.

    Attributes:
        graph: its description.
        model: its Keras model, with the classifier of the source task.
    """

    graph: BlockGraph
    model: keras.Model

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the universal weights; a task pack names the one that it belongs to."""
        return weights.fingerprint(self.model)


def save_universal(
    path: str | os.PathLike, graph: BlockGraph, model: keras.Model, dtype: str = "float16"
) -> None:
    """Writes a network as a universal network, in half precision by default.

    Half precision halves the file; the network is what the file holds, so that everybody who reads
    it has the same weights.
    """
    tensors = {key: value.astype(dtype) for key, value in weights.arrays(model).items()}
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise ValueError(f"A weight of {model.name} is not finite in {dtype}.")
    weights.write(path, tensors, {"backbone": dict(graph.config)})


def load_universal(source: str | os.PathLike, **config: Any) -> Universal:
    """Reads a universal network.

    Args:
        source: the name of a shipped network, or the path of a file of `save_universal`.
        **config: overrides what the file says of the backbone, such as `image_size`.

    Raises:
        weights.WeightsError: no such name or file, or a file that does not fit its backbone.
    """
    path = SHIPPED.get(str(source), pathlib.Path(source))
    if not path.exists():
        raise weights.WeightsError(
            f"No universal network {str(source)!r}; expected {', '.join(SHIPPED)} or the path of "
            "a file that pipelines.pretrain wrote."
        )
    tensors, metadata = weights.read(path)
    if "backbone" not in metadata:
        raise weights.WeightsError(
            f"{path} does not say which backbone it holds; name the backbone to load it."
        )
    graph = backbones.create(**{**metadata["backbone"], **config})
    classes = tensors["classifier/bias"].shape[0] if "classifier/bias" in tensors else 1
    model = build_network(graph, classes)
    weights.assign(model, tensors, origin=str(path))
    model.trainable = False
    return Universal(graph, model)
