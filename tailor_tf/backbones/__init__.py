"""Universal networks by name, and their weights."""

import functools
import inspect
from collections.abc import Callable, Mapping

from tailor_tf import blocks
from tailor_tf.backbones import resnet as _resnet
from tailor_tf.graph import BlockGraph

BACKBONES: Mapping[str, Callable[..., BlockGraph]] = {
    "resnet18": functools.partial(_resnet.resnet, "resnet18", blocks.basic_block, (2, 2, 2, 2)),
    "resnet34": functools.partial(_resnet.resnet, "resnet34", blocks.basic_block, (3, 4, 6, 3)),
    "resnet50": functools.partial(
        _resnet.resnet, "resnet50", blocks.bottleneck_block, (3, 4, 6, 3)
    ),
    "wide_resnet26": _resnet.wide_resnet26,
    "cifar_resnet20": functools.partial(_resnet.cifar_resnet, "cifar_resnet20", 3),
    "cifar_resnet32": functools.partial(_resnet.cifar_resnet, "cifar_resnet32", 5),
    "cifar_resnet44": functools.partial(_resnet.cifar_resnet, "cifar_resnet44", 7),
    "cifar_resnet56": functools.partial(_resnet.cifar_resnet, "cifar_resnet56", 9),
}


def create(name: str, **config) -> BlockGraph:
    """Describes the backbone `name`.

    Args:
        name: one of `BACKBONES`.
        **config: `image_size` in pixels, and `width` for `wide_resnet26`.

    Raises:
        ValueError: an unknown name or a setting that the backbone does not have.
    """
    if name not in BACKBONES:
        raise ValueError(f"Unknown backbone {name!r}; known are {', '.join(sorted(BACKBONES))}.")
    known = [
        parameter.name
        for parameter in inspect.signature(BACKBONES[name]).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ValueError(
            f"{name} has no setting {', '.join(unknown)}; it takes {', '.join(known)}."
        )
    return BACKBONES[name](**config)
