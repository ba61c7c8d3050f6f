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
from tailor_tf.support import files, limits

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
    described = _described(path, metadata)
    if not described and backbone is None:
        raise weights.WeightsError(
            f"{path} does not say which network it holds; name the backbone: one of "
            f"{', '.join(backbones.BACKBONES)}."
        )
    if described and backbone not in (None, described["name"]):
        raise weights.WeightsError(f"{path} holds a {described['name']}, not a {backbone}.")
    graph = _graph(path, {"name": backbone, **described, **config}, metadata)
    weights.check_whole(path, tensors, metadata)
    naming = None if described else backbones.torch_naming(graph.name)
    return universal_from_tensors(graph, tensors, origin=str(path), torch_naming=naming)


def _described(path: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the backbone that a file describes; none if it does not describe one.

    Raises:
        weights.WeightsError: they are damaged, or no network of this project can have them.
    """
    found = metadata.get("backbone", {})
    if not isinstance(found, dict) or (found and not isinstance(found.get("name"), str)):
        raise weights.WeightsError(f"{path} is damaged: it names no backbone. Take a fresh copy.")
    most = {"image_size": limits.SIDE, "blocks": limits.BLOCKS, "width": limits.WIDTH}
    for name in most.keys() & found.keys():
        value = found[name]
        if type(value) not in (int, float) or not 0 < value <= most[name]:
            raise weights.WeightsError(
                f"{path} is damaged: its backbone has {name} {str(value)[:20]}; expected a number "
                f"above 0, at most {most[name]}. Take a fresh copy."
            )
    return found


def _graph(path: str, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> BlockGraph:
    if "definition" not in metadata:
        return backbones.create(**config)
    try:
        means = metadata["normalisation"]
        normalisation = means and Normalisation(*map(tuple, means))
        return keras_models.described(config, metadata["definition"], normalisation, path)
    except (KeyError, TypeError, AttributeError) as error:
        raise weights.WeightsError(
            f"{path} is damaged: the description of its network lacks a part ({error!r}). Take a "
            "fresh copy."
        ) from error


_SHA256 = {
    "imagenet": "de09422f572cd788842bfe208c4644377f7bf0647ee96dde20d29666d3783b30",
    "tiny_imagenet": "de256fe2aa872000b79cb5f131b1758d6ea5a4cf640fa8d23744f8f830f78967",
}


def _load_shipped(name: str, backbone: str | None, config: Mapping[str, Any]) -> Universal:
    """Reads a network that comes with the project, after a check of its file.

    The file may be a link, as some package managers install it.
    """
    path, received = SHIPPED[name], files.sha256(SHIPPED[name].resolve())
    if received != _SHA256[name]:
        raise weights.AlteredError(
            f"{path} was altered: its SHA-256 is {received[:16]}, expected {_SHA256[name][:16]}. "
            "Install the project again."
        )
    return load_file(str(path), backbone, config)


SHIPPED_SOURCE = Source(
    usage=", ".join(SHIPPED),
    # With another backbone, Keras's weights of the same name are meant.
    accepts=lambda name, backbone: name in SHIPPED and backbone not in applications.names(),
    load=_load_shipped,
)

FILE_SOURCE = Source(
    usage="the path of a weights file",
    accepts=lambda name, backbone: pathlib.Path(name).exists(),
    load=load_file,
)
