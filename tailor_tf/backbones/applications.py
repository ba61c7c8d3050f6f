"""Networks of `keras.applications` and backbones of KerasHub as universal networks."""

import inspect
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tailor_tf.backbones.cutting import cut
from tailor_tf.backbones.front import NAMED
from tailor_tf.backbones.source import Source
from tailor_tf.backbones.universal import Universal, universal_from_tensors
from tailor_tf.network.graph import BlockGraph
from tailor_tf.network.weights import WeightsError
from tailor_tf.support import files
from tailor_tf.support.errors import TailorError

_IMAGENET, _SYMMETRIC = NAMED["torch"].normalisation, NAMED["tf"].normalisation
_CAFFE = NAMED["caffe"].normalisation  # the weights expect blue first; `load` reverses the order
# Normalisation of published weights, by the start of the network's name; the longest start counts.
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
DOWNLOADED = "imagenet"  # Keras's name of the weights that it downloads
HUB = "keras_hub:"  # start of the names of KerasHub's backbones; a preset follows


def names() -> list[str]:
    """The networks of `keras.applications`."""
    found = vars(keras.applications).items()
    return sorted(name for name, value in found if inspect.isfunction(value))


def load(
    name: str, *, image_size: int = 224, blocks: int | None = None, weights: str | None = None
) -> tuple[BlockGraph, dict[str, np.ndarray]]:
    """Builds a network of `keras.applications` or KerasHub and cuts it into blocks.

    Args:
        name: one of `names`, such as "MobileNetV2", or `HUB` and a preset of KerasHub, such as
            "keras_hub:resnet_50_imagenet".
        image_size: side of its square input, pixels.
        blocks: number of blocks; by default as many as possible, but at most
            `cutting.MOST_BLOCKS`.
        weights: "imagenet" to download weights, a file that Keras reads, or `None` for random
            weights. For a preset, any value but `None` means the preset's own weights.

    Returns:
        The network's description, and its weights by key.

    Raises:
        TailorError: Keras cannot build the network, the weights do not fit, or the network cannot
            be cut into so many blocks.
    """
    try:
        model = _hub_model if name.startswith(HUB) else _keras_model
        model = model(name, (image_size, image_size, 3), weights)
    except Exception as error:
        # Keras and KerasHub raise errors of any class, also `Exception`, if a download fails.
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
            "the normalisation of images is a part of this network and differs with its weights; "
            "use an EfficientNetV2, or save the model to a .keras file and name that file"
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
    """Only the description; see `load`."""
    return load(name, image_size=image_size, blocks=blocks)[0]


def _load_by_keras(name: str, backbone: str | None, config: Mapping[str, Any]) -> Universal:
    if backbone not in names():
        raise WeightsError(
            f"{name} needs a backbone of keras.applications, received {backbone}; known are "
            f"{', '.join(names())}."
        )
    if name != DOWNLOADED:
        files.check_file(name, follow=True)
    graph, tensors = load(backbone, weights=name, **config)
    return universal_from_tensors(graph, tensors, origin=f"{backbone} of {name}")


def _load_by_hub(name: str, backbone: str | None, config: Mapping[str, Any]) -> Universal:
    del backbone  # the preset names it
    graph, tensors = load(name, weights=name, **config)
    return universal_from_tensors(graph, tensors, origin=name)


def _is_weights_file(name: str) -> bool:
    path = pathlib.Path(name)
    return path.suffix == ".h5" and path.exists()


KERAS_SOURCE = Source(
    usage=f"{DOWNLOADED} or an .h5 file of weights, each with a backbone of keras.applications",
    accepts=lambda name, backbone: (
        backbone is not None and (name == DOWNLOADED or _is_weights_file(name))
    ),
    load=_load_by_keras,
)

HUB_SOURCE = Source(
    usage=f"{HUB}PRESET",
    accepts=lambda name, backbone: name.startswith(HUB),
    load=_load_by_hub,
)
