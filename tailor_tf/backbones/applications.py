"""Networks of `keras.applications` and backbones of KerasHub as universal networks."""

import inspect

import keras
import numpy as np

from tailor_tf.backbones.cutting import cut
from tailor_tf.network.graph import BlockGraph, Normalisation
from tailor_tf.support.errors import TailorError

_IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SYMMETRIC = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Levels less their mean; the weights read blue, green, red, which `load` turns round.
_CAFFE = Normalisation((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255))
# What the networks' published weights expect, by the start of their names; the longest one counts.
_NORMALISATION = {
    "ResNet": _CAFFE,
    "ResNet50V2": _SYMMETRIC,
    "ResNet101V2": _SYMMETRIC,
    "ResNet152V2": _SYMMETRIC,
    "VGG": _CAFFE,
    "MobileNet": _SYMMETRIC,
    "DenseNet": _IMAGENET,
    "EfficientNetV2B": _IMAGENET,
    "EfficientNetV2": _SYMMETRIC,
    "ConvNeXt": _IMAGENET,
    "Inception": _SYMMETRIC,
    "Xception": _SYMMETRIC,
    "NASNet": _SYMMETRIC,
}
HUB = "keras_hub:"  # what the names of KerasHub's backbones start with; a preset follows


def names() -> list[str]:
    """The networks of `keras.applications`."""
    found = vars(keras.applications).items()
    return sorted(name for name, value in found if inspect.isfunction(value))


def load(
    name: str, *, image_size: int = 224, blocks: int | None = None, weights: str | None = None
) -> tuple[BlockGraph, dict[str, np.ndarray]]:
    """Describes a network of `keras.applications` or KerasHub and gives its weights.

    Args:
        name: one of `names`, such as "MobileNetV2", or `HUB` and a preset of KerasHub, such as
            "keras_hub:resnet_50_imagenet".
        image_size: side of its square input, pixels.
        blocks: how many blocks to cut it into; by default as many as there are, but no more than
            `cutting.MOST_BLOCKS`.
        weights: "imagenet", which downloads them, a file that Keras reads, or `None` for random
            ones. Those of a preset are its own, whatever this says.

    Returns:
        The description, and the weights by key.

    Raises:
        TailorError: the network cannot be cut so, or the weights do not fit.
    """
    try:
        model = _hub_model if name.startswith(HUB) else _keras_model
        model = model(name, (image_size, image_size, 3), weights)
    except Exception as error:
        # Both raise anything, plain exceptions among them, where they cannot download.
        weighted = f" with weights {weights!r}" if weights else ""
        raise TailorError(
            f"Keras cannot build {name} at {image_size} pixels{weighted}: {error}"
        ) from error
    config = {"name": name, "image_size": image_size}
    start = max((s for s in _NORMALISATION if name.startswith(s)), key=len, default=None)
    normalisation = _NORMALISATION.get(start)
    graph, tensors = cut(model, config, blocks=blocks, normalisation=normalisation)
    if weights and normalisation is _CAFFE:
        first = next(key for key in tensors if key.startswith("stem_") and key.endswith("/kernel"))
        tensors[first] = tensors[first][:, :, ::-1]
    return graph, tensors


def _keras_model(name: str, shape: tuple[int, int, int], weights: str | None) -> keras.Model:
    if name.startswith("EfficientNetB"):
        raise TailorError(
            "its normalisation is a part of it and differs with its weights; take "
            "EfficientNetV2B0 or another one of that kind"
        )
    build = getattr(keras.applications, name)
    options = {"include_top": False, "weights": weights, "input_shape": shape}
    if "include_preprocessing" in inspect.signature(build).parameters:
        options["include_preprocessing"] = False
    return build(**options)


def _hub_model(name: str, shape: tuple[int, int, int], weights: str | None) -> keras.Model:
    try:
        import keras_hub
    except ImportError as error:
        raise TailorError("the package is missing; pip install keras-hub") from error
    preset = name.removeprefix(HUB)
    return keras_hub.models.Backbone.from_preset(
        preset, load_weights=weights is not None, image_shape=shape
    )


def describe(name: str, *, image_size: int = 224, blocks: int | None = None) -> BlockGraph:
    """The description alone; see `load`."""
    return load(name, image_size=image_size, blocks=blocks)[0]
