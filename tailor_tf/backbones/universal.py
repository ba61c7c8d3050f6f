"""A universal network: its description and its frozen weights."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tailor_tf.backbones import torch_names
from tailor_tf.network import keys, weights
from tailor_tf.network.graph import BlockGraph, build_network
from tailor_tf.support.errors import TailorError


@dataclasses.dataclass(frozen=True)
class Universal:
    """A universal network, shared by any number of tasks; its kernels are never trained again.

    Attributes:
        graph: its description.
        model: its Keras model, with the classifier of the source task.
    """

    graph: BlockGraph
    model: keras.Model

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights without the classifier; task packs name their network by it."""
        return weights.fingerprint(self.model)


def save_universal(
    path: str | os.PathLike, graph: BlockGraph, model: keras.Model, dtype: str = "float16"
) -> None:
    """Writes a network to a file as a universal network, in half precision by default.

    The universal network has the rounded weights of the file, so all its readers have the same.

    Args:
        path: the safetensors file.
        graph: the network's description.
        model: the network.
        dtype: type of the weights in the file; "float16" halves its size.

    Raises:
        TailorError: a weight is not finite in `dtype`.
    """
    with np.errstate(over="ignore"):  # weights that overflow are refused below
        tensors = {key: value.astype(dtype) for key, value in weights.arrays(model).items()}
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise TailorError(f"A weight of {model.name} is not finite in {dtype}.")
    weights.write(path, tensors, weights.sealed(tensors, _metadata(graph)))


def _metadata(graph: BlockGraph) -> dict[str, Any]:
    """What a file says of its network: the config, and for a cut network all that builds it."""
    config = {"backbone": dict(graph.config)}
    if graph.definition is None:
        return config
    return {**config, "definition": graph.definition, "normalisation": graph.normalisation}


def universal_from_tensors(
    graph: BlockGraph,
    tensors: Mapping[str, np.ndarray],
    *,
    origin: str,
    torch_naming: Callable[[str], str] | None = None,
) -> Universal:
    """Builds a universal network from tensors.

    The number of classes is taken from the tensors. If they have no classifier, the network gets a
    new one with one class.

    Args:
        graph: the network's description.
        tensors: arrays by key; by PyTorch name if `torch_naming` is given.
        origin: name of the tensors' file or program, for error messages.
        torch_naming: function from a key to the PyTorch name.

    Raises:
        weights.WeightsError: a tensor is missing or has another shape; the message names the first.
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
