"""Names and layouts of the weights in PyTorch programs.

Three programs name the same weights differently: torchvision and the CIFAR networks
(`layer2.0.downsample.1.running_mean`), the authors' wide network (`layers.4.bn2.weight`) and the
authors' students (`layers.4.main.conv_res.weight`, `layers.4.proxies.0.conv.weight`). Convolution
kernels are `[out, in, height, width]` in PyTorch and `[height, width, in, out]` in Keras; dense
kernels are `[out, in]` in PyTorch and `[in, out]` in Keras.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tailor_tf.network import keys

_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _split(key: str) -> tuple[int, str, str]:
    """Block number (0 outside of blocks), layer name without the block, and variable in PyTorch."""
    block, layer, variable = keys.split(key)
    return block, layer, _VARIABLES.get(variable, variable)


def staged_name(depths: Sequence[int], classifier: str) -> Callable[[str], str]:
    """Names of the weights of torchvision's ResNets and of CIFAR ResNets.

    Args:
        depths: number of blocks in each stage.
        classifier: name of the classifier in PyTorch, "fc" or "linear".

    Returns:
        A function from this project's key, such as `block3_shortcut_bn/gamma`, to PyTorch's name.
    """
    stages = [(s, i) for s, depth in enumerate(depths, start=1) for i in range(depth)]
    names = {"stem_conv": "conv1", "stem_bn": "bn1", "classifier": classifier}
    inner = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}

    def name(key: str) -> str:
        block, layer, variable = _split(key)
        if not block:
            return f"{names[layer]}.{variable}"
        stage, index = stages[block - 1]
        return f"layer{stage}.{index}.{inner.get(layer, layer)}.{variable}"

    return name


def wide_name(key: str) -> str:
    """Name of a weight in the authors' wide ResNet."""
    block, layer, variable = _split(key)
    names = {"stem_conv": "conv1", "stem_bn": "bn1", "head_bn": "ends_bn", "classifier": "linear"}
    return f"layers.{block - 1}.{layer}.{variable}" if block else f"{names[layer]}.{variable}"


def student_name(key: str) -> str:
    """Name of a weight in the authors' students: ResNet-18, 34, 50 and the wide ResNet.

    Their proxies are numbered from the nearest source: 0 reads `x_{l-1}`, 1 reads `x_{l-2}`.
    """
    block, layer, variable = _split(key)
    if not block:
        names = {"stem_conv": "conv1", "stem_bn": "bn1", "head_bn": "ends_bn"}
        return f"{names.get(layer, layer)}.{variable}"
    if layer == "gate":
        return f"layers.{block - 1}.alphas_params"
    if proxy := keys.split_proxy(layer):
        source, inner = proxy
        return f"layers.{block - 1}.proxies.{block - 1 - source}.{inner}.{variable}"
    names = {"shortcut_conv": "conv_res", "shortcut_bn": "bn_res"}
    return f"layers.{block - 1}.main.{names.get(layer, layer)}.{variable}"


def to_keras_layout(value: np.ndarray) -> np.ndarray:
    """Transposes a kernel from PyTorch's layout to Keras's; vectors are returned unchanged."""
    axes = {2: (1, 0), 4: (2, 3, 1, 0)}
    return value.transpose(axes[value.ndim]) if value.ndim in axes else value


def rename(
    tensors: Mapping[str, np.ndarray], keys: Sequence[str], name: Callable[[str], str]
) -> dict[str, np.ndarray]:
    """Converts PyTorch tensors to this project's keys and layouts.

    Args:
        tensors: arrays by PyTorch name; a leading `module.` in a name is ignored.
        keys: the keys of the result; keys without a tensor are left out.
        name: function from a key to the PyTorch name, such as `student_name`.
    """
    plain = {torch_key.removeprefix("module."): value for torch_key, value in tensors.items()}
    found = {key: plain[name(key)] for key in keys if name(key) in plain}
    return {key: to_keras_layout(value) for key, value in found.items()}
