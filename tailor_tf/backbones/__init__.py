"""Backbones: networks that can be universal, by name, and their weights."""

import functools
import inspect
from collections.abc import Callable, Mapping

from tailor_tf.backbones import (
    applications,
    efficientnet_lite,
    keras_models,
    resnet,
    torch_names,
)
from tailor_tf.backbones.backbone import Backbone
from tailor_tf.network import blocks
from tailor_tf.network.graph import BlockGraph
from tailor_tf.support.errors import TailorError

BACKBONES: Mapping[str, Backbone] = {
    "wide_resnet26": Backbone(resnet.wide_resnet26, torch_names.wide_name),
    "resnet18": resnet.torchvision("resnet18", blocks.basic_block, (2, 2, 2, 2)),
    "resnet34": resnet.torchvision("resnet34", blocks.basic_block, (3, 4, 6, 3)),
    "resnet50": resnet.torchvision("resnet50", blocks.bottleneck_block, (3, 4, 6, 3)),
    "cifar_resnet20": resnet.cifar("cifar_resnet20", (3, 3, 3)),
    "cifar_resnet32": resnet.cifar("cifar_resnet32", (5, 5, 5)),
    "cifar_resnet44": resnet.cifar("cifar_resnet44", (7, 7, 7)),
    "cifar_resnet56": resnet.cifar("cifar_resnet56", (9, 9, 9)),
    "efficientnet_lite0": Backbone(efficientnet_lite.efficientnet_lite0),
}


def torch_naming(name: str) -> Callable[[str], str]:
    """A function from the keys of the weights of backbone `name` to their names in PyTorch.

    Raises:
        TailorError: PyTorch programs have no names for the weights of this backbone.
    """
    backbone = BACKBONES.get(name)
    if backbone is None or backbone.torch_name is None:
        known = ", ".join(n for n, backbone in BACKBONES.items() if backbone.torch_name)
        raise TailorError(
            f"{name} has no names in PyTorch; expected a file that names its backbone, or one of "
            f"{known}."
        )
    return backbone.torch_name


def create(name: str, **config) -> BlockGraph:
    """Describes the backbone `name`.

    Args:
        name: one of `BACKBONES`, or of `applications.names`, or "keras_hub:PRESET".
        **config: `image_size` in pixels; for `wide_resnet26` also `width`; for networks of
            `keras.applications` and KerasHub also `blocks`, the number of blocks to cut into.

    Raises:
        TailorError: an unknown name or a setting that the backbone does not have.
    """
    if name == keras_models.NAME:
        raise TailorError(
            "This network was cut from a Keras model, and its settings alone do not describe it; "
            "load it from its .keras or .h5 file, or from the file of save_universal."
        )
    if name in BACKBONES:
        describe = BACKBONES[name].describe
    elif name in applications.names() or name.startswith(applications.HUB):
        describe = functools.partial(applications.describe, name)
    else:
        raise TailorError(
            f"Unknown backbone {name!r}; known are {', '.join(sorted(BACKBONES))} and the networks "
            f"of keras.applications: {', '.join(applications.names())}; or keras_hub:PRESET."
        )
    known = [
        parameter.name
        for parameter in inspect.signature(describe).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise TailorError(
            f"{name} has no setting {', '.join(unknown)}; it takes {', '.join(known)}."
        )
    return describe(**config)
