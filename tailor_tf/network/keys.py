"""Names of layers and weights, and owners of weights; no other module makes or reads such names.

A weight's key is `layer/variable`, such as `block3_conv1/kernel`. The name of a layer begins with
its part of the network: `stem_`, `block3_` or `head_`, or `exit_` for a head of the task's own;
only the classifier has a name without a part. A student adds to layer 3 the proxies
`block3_proxy1_...`, the gates `block3_gate` and the node `block3_output`.
"""

import enum
import itertools
import re
from collections.abc import Container

STEM = "stem"
HEAD = "head"
EXIT = "exit"  # the features of a classifier that reads a node before the last, and their layers
CLASSIFIER = "classifier"

_STATISTICS = ("moving_mean", "moving_variance")
_NORM = ("gamma", "beta", *_STATISTICS)  # variables of batch norms
_BLOCK = re.compile(r"block(\d+)_(.+)")
_PROXY = re.compile(r"proxy(\d+)_((?:conv|bn)[12]?)")
# Names, without the block, of layers that a student or a compact network adds to a layer.
_RESERVED = re.compile(r"(?:own_)*(?:proxy\d+_.*|identity.*|gate|sum|output)")


class Owner(enum.Enum):
    """Owner of a weight: the universal network, shared by all tasks, or a part of the task."""

    UNIVERSAL = "universal"
    STATISTIC = "statistic"  # of a universal batch norm, re-estimated on the task
    PROXY = "proxy"
    GATE = "gate"
    HEAD = "head"  # batch norms after the last layer, a head of the task's own, the classifier


def block(layer: int) -> str:
    """Name of the universal block of `layer`, and start of the names of its Keras layers."""
    return f"block{layer}"


def proxy(layer: int, source: int) -> str:
    """Name of the proxy from node `source` into `layer`, and start of its Keras layers' names."""
    return f"{block(layer)}_proxy{source}"


def exit_behind(node: int, head_channels: int = 0) -> str:
    """Name of the piece behind node `node`, before the last one: own head and classifier."""
    return f"{EXIT}{node}_{head_channels}" if head_channels else f"{EXIT}{node}"


def identity(layer: int) -> str:
    """Name of the identity path into `layer`."""
    return f"{block(layer)}_identity"


def gate(layer: int) -> str:
    """Name of the Keras layer that holds the gates of `layer`."""
    return f"{block(layer)}_gate"


def path_sum(layer: int) -> str:
    """Name of the sum of the paths into `layer` in networks whose gates are constants."""
    return f"{block(layer)}_sum"


def node(layer: int) -> str:
    """Name of the Keras layer whose output is `x_layer`."""
    return f"{block(layer)}_output"


def within(part: str, layer: str) -> str:
    """Name of a layer of another network that becomes a layer of a part of this one.

    A layer whose name a student uses for its own layers, such as `gate` or `proxy1_conv`, gets
    another name. Different layers get different names.

    Args:
        part: `stem`, `head` or a block's name.
        layer: the layer's name in the other network.
    """
    return f"{part}_own_{layer}" if _RESERVED.fullmatch(layer) else f"{part}_{layer}"


def split(key: str) -> tuple[int, str, str]:
    """Block number (0 outside of blocks), name of the layer without its block, and the variable."""
    layer, _, variable = key.rpartition("/")
    match = _BLOCK.fullmatch(layer)
    return (int(match[1]), match[2], variable) if match else (0, layer, variable)


def split_proxy(layer: str) -> tuple[int, str] | None:
    """Source node of a proxy and the layer's name inside the proxy, such as `conv`.

    Args:
        layer: the layer's name without its block, from `split`.

    Returns:
        `None` if the layer does not belong to a proxy.
    """
    match = _PROXY.fullmatch(layer)
    return (int(match[1]), match[2]) if match else None


def owner(key: str) -> Owner:
    """Owner of a student's weight."""
    number, layer, variable = split(key)
    if number == 0 and (layer == CLASSIFIER or is_own_head(key) or _is_head_norm(layer, variable)):
        return Owner.HEAD
    if number and split_proxy(layer):
        return Owner.PROXY
    if number and (layer, variable) == ("gate", "logits"):
        return Owner.GATE
    return Owner.STATISTIC if is_statistic(key) else Owner.UNIVERSAL


def _is_head_norm(layer: str, variable: str) -> bool:
    return layer.startswith(f"{HEAD}_") and variable in _NORM


def is_task(key: str) -> bool:
    """Whether a student's weight is stored per task."""
    return owner(key) is not Owner.UNIVERSAL


def is_gate(key: str) -> bool:
    """Whether a weight is the gate logits of a layer."""
    return owner(key) is Owner.GATE


def is_head(key: str) -> bool:
    """Whether a weight is the classifier's, an own head's, or a batch norm's of the head."""
    return owner(key) is Owner.HEAD


def is_own_head(key: str) -> bool:
    """Whether a weight belongs to a head of the task's own, behind a node before the last."""
    return key.startswith(f"{EXIT}_")


def is_statistic(key: str) -> bool:
    """Whether a weight is the moving mean or variance of a batch norm."""
    return key.rpartition("/")[2] in _STATISTICS


def is_classifier(key: str) -> bool:
    """Whether a weight is the classifier's."""
    return key.rpartition("/")[0] == CLASSIFIER


def is_shared_layer(name: str) -> bool:
    """Whether the kernel of the layer with this name belongs to the universal network."""
    return owner(f"{name}/kernel") is Owner.UNIVERSAL


def trained_in(key: str, layer: int) -> bool:
    """Whether a weight belongs to the proxies or gates of `layer`."""
    return split(key)[0] == layer and owner(key) in (Owner.PROXY, Owner.GATE)


def stable(path: str, taken: Container[str]) -> str:
    """Key of a variable: its Keras path, with another name if Keras made the name up.

    Keras names a variable without a name `variable_72`, by a count over the whole process. Such a
    name becomes `variable`, or `variable_1` and so on if the layer has that key already.

    Args:
        path: the variable's Keras path.
        taken: the keys that are in use.
    """
    made_up = re.fullmatch(r"(.*/variable)(_\d+)?", path)
    if not made_up:
        return path
    later = (f"{made_up[1]}_{count}" for count in itertools.count(1))
    return next(key for key in itertools.chain([made_up[1]], later) if key not in taken)
