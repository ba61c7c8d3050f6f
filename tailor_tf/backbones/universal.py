"""A universal network: its description, its frozen weights and how its images were prepared."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tailor_tf import backbones
from tailor_tf.backbones import applications, torch_names
from tailor_tf.network import keys, weights
from tailor_tf.network.graph import BlockGraph, build_network
from tailor_tf.support.errors import TailorError

SHIPPED = {
    "tiny_imagenet": pathlib.Path(__file__).with_name("shipped")
    / "wide_resnet26_w0.5_32_tiny_imagenet.safetensors",
}


KERAS_WEIGHTS = "imagenet"  # what keras.applications calls the weights that it downloads


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
    with np.errstate(over="ignore"):  # refused below
        tensors = {key: value.astype(dtype) for key, value in weights.arrays(model).items()}
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise TailorError(f"A weight of {model.name} is not finite in {dtype}.")
    weights.write(path, tensors, {"backbone": dict(graph.config)})


def load_universal(
    source: str | os.PathLike, *, backbone: str | None = None, **config: Any
) -> Universal:
    """Reads a universal network.

    Args:
        source: the name of a shipped network; the path of a safetensors file, of `save_universal`,
            or of a PyTorch program if `backbone` is given; or for a backbone of
            `keras.applications` "imagenet", which downloads its weights, or the path of an .h5
            file that Keras wrote of it; or "keras_hub:PRESET".
        backbone: which network a file without description holds; in a safetensors file weights are
            found by their PyTorch names then (`backbones.torch_names`).
        **config: settings of the backbone, such as `image_size`, over what the file says.

    Raises:
        weights.WeightsError: no such name or file, a file that does not say what it holds, or one
            that does not fit its backbone.
        TailorError: an unknown backbone or setting.
    """
    if str(source).startswith(applications.HUB):
        graph, tensors = applications.load(str(source), weights=str(source), **config)
        return universal_from_tensors(graph, tensors, origin=str(source))
    path = SHIPPED.get(str(source), pathlib.Path(source))
    by_keras = str(source) == KERAS_WEIGHTS or path.suffix == ".h5"
    if not path.exists() and str(source) != KERAS_WEIGHTS:
        raise weights.WeightsError(
            f"No universal network {str(source)!r}; expected {', '.join(SHIPPED)}, the path of "
            f"a weights file, {KERAS_WEIGHTS} with a backbone of keras.applications, or "
            f"{applications.HUB}PRESET."
        )
    if by_keras:
        if backbone not in applications.names():
            raise weights.WeightsError(
                f"{source} needs a backbone of keras.applications, received {backbone}; known are "
                f"{', '.join(applications.names())}."
            )
        graph, tensors = applications.load(backbone, weights=str(source), **config)
        return universal_from_tensors(graph, tensors, origin=f"{backbone} of {source}")
    tensors, metadata = weights.read(path)
    described = metadata.get("backbone", {})
    if not described and backbone is None:
        raise weights.WeightsError(
            f"{path} does not say which network it holds; name the backbone: one of "
            f"{', '.join(backbones.BACKBONES)}."
        )
    if described and backbone not in (None, described["name"]):
        raise weights.WeightsError(f"{path} holds a {described['name']}, not a {backbone}.")
    graph = backbones.create(**{"name": backbone, **described, **config})
    naming = None if described else backbones.torch_naming(graph.name)
    return universal_from_tensors(graph, tensors, origin=str(path), torch_naming=naming)


def universal_from_tensors(
    graph: BlockGraph,
    tensors: Mapping[str, np.ndarray],
    *,
    origin: str,
    torch_naming: Callable[[str], str] | None = None,
) -> Universal:
    """Builds a universal network from tensors by key, or by PyTorch name.

    The classifier has as many classes as the tensors say, or one of its own if they have none.

    Raises:
        weights.WeightsError: names the first tensor that is missing or has another shape.
    """
    if torch_naming:
        wanted = list(weights.variables(build_network(graph, 1)))
        tensors = torch_names.rename(tensors, wanted, torch_naming)
    bias = tensors.get(f"{keys.CLASSIFIER}/bias")
    model = build_network(graph, 1 if bias is None else bias.shape[0])
    weights.assign(
        model,
        tensors,
        origin=origin,
        wanted=lambda key: bias is not None or not keys.is_classifier(key),
    )
    model.trainable = False
    return Universal(graph, model)
