"""Universal networks by name, and their weights."""

import functools
import inspect
from collections.abc import Callable, Mapping

from tailor_tf.backbones import applications, torch_names
from tailor_tf.backbones import resnet as _resnet
from tailor_tf.network import blocks
from tailor_tf.network.graph import BlockGraph
from tailor_tf.support.errors import TailorError

# Blocks per stage; the wide ResNet has no variants and keeps its depths in its function.
DEPTHS: Mapping[str, tuple[int, ...]] = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "cifar_resnet20": (3, 3, 3),
    "cifar_resnet32": (5, 5, 5),
    "cifar_resnet44": (7, 7, 7),
    "cifar_resnet56": (9, 9, 9),
}


def _describe(name: str) -> Callable[..., BlockGraph]:
    if name.startswith("cifar"):
        return functools.partial(_resnet.cifar_resnet, name, DEPTHS[name])
    block = blocks.bottleneck_block if name == "resnet50" else blocks.basic_block
    return functools.partial(_resnet.resnet, name, block, DEPTHS[name])


BACKBONES: Mapping[str, Callable[..., BlockGraph]] = {
    "wide_resnet26": _resnet.wide_resnet26,
    **{name: _describe(name) for name in DEPTHS},
}


def torch_naming(name: str) -> Callable[[str], str]:
    """A function from the key of a weight of the backbone `name` to its name in PyTorch.

    Raises:
        TailorError: a backbone that PyTorch programs have no names for.
    """
    if name == "wide_resnet26":
        return torch_names.wide_name
    if name not in DEPTHS:
        raise TailorError(
            f"{name} has no names in PyTorch; expected a file that says what it holds, or one of "
            f"{', '.join(BACKBONES)}."
        )
    return torch_names.staged_name(DEPTHS[name], "linear" if name.startswith("cifar") else "fc")


def create(name: str, **config) -> BlockGraph:
    """Describes the backbone `name`.

    Args:
        name: one of `BACKBONES`, or of `applications.names`, or "keras_hub:PRESET".
        **config: `image_size` in pixels, `width` for `wide_resnet26`, and `blocks`, how many to
            cut a network of `keras.applications` into.

    Raises:
        TailorError: an unknown name or a setting that the backbone does not have.
    """
    if name in BACKBONES:
        describe = BACKBONES[name]
    elif name in applications.names() or name.startswith(applications.HUB):
        describe = functools.partial(applications.describe, name)
    else:
        raise TailorError(
            f"Unknown backbone {name!r}; known are {', '.join(sorted(BACKBONES))} and those of "
            f"keras.applications: {', '.join(applications.names())}; or keras_hub:PRESET."
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
