"""Universal networks from safetensors files of this project and of PyTorch programs."""

import pathlib
from collections.abc import Mapping
from typing import Any

from tailor_tf import backbones
from tailor_tf.backbones import applications, keras_models
from tailor_tf.backbones.source import Source
from tailor_tf.backbones.universal import Universal, universal_from_tensors
from tailor_tf.network import weights
from tailor_tf.network.graph import BlockGraph, Normalisation

_FOLDER = pathlib.Path(__file__).with_name("shipped")

SHIPPED: Mapping[str, pathlib.Path] = {  # beside each file lies its model card
    "imagenet": _FOLDER / "efficientnet_lite0_imagenet.safetensors",
    "tiny_imagenet": _FOLDER / "wide_resnet26_w0.5_32_tiny_imagenet.safetensors",
}


def load_file(path: str, backbone: str | None, config: Mapping[str, Any]) -> Universal:
    """Reads a file of `save_universal`, or of a PyTorch program if `backbone` is given.

    Args:
        path: the safetensors file.
        backbone: the backbone's name, required if the file does not name it.
        config: settings of the backbone; they replace the settings in the file.

    Raises:
        weights.WeightsError: no backbone is named, or the file does not fit its backbone.
        TailorError: an unknown backbone or setting.
    """
    tensors, metadata = weights.read(path)
    described = metadata.get("backbone", {})
    if not described and backbone is None:
        raise weights.WeightsError(
            f"{path} does not say which network it holds; name the backbone: one of "
            f"{', '.join(backbones.BACKBONES)}."
        )
    if described and backbone not in (None, described["name"]):
        raise weights.WeightsError(f"{path} holds a {described['name']}, not a {backbone}.")
    graph = _graph(path, {"name": backbone, **described, **config}, metadata)
    naming = None if described else backbones.torch_naming(graph.name)
    return universal_from_tensors(graph, tensors, origin=str(path), torch_naming=naming)


def _graph(path: str, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> BlockGraph:
    if "definition" not in metadata:
        return backbones.create(**config)
    means = metadata["normalisation"]
    normalisation = means and Normalisation(*map(tuple, means))
    return keras_models.described(config, metadata["definition"], normalisation, path)


SHIPPED_SOURCE = Source(
    usage=", ".join(SHIPPED),
    # With another backbone, Keras's weights of the same name are meant.
    accepts=lambda name, backbone: name in SHIPPED and backbone not in applications.names(),
    load=lambda name, backbone, config: load_file(str(SHIPPED[name]), backbone, config),
)

FILE_SOURCE = Source(
    usage="the path of a weights file",
    accepts=lambda name, backbone: pathlib.Path(name).exists(),
    load=load_file,
)
