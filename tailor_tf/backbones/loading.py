"""Loading a universal network by its name, and the registry of sources of universal networks."""

import os
from typing import Any

from tailor_tf.backbones import applications, files
from tailor_tf.backbones.source import Source
from tailor_tf.backbones.universal import Universal
from tailor_tf.network.weights import WeightsError

SOURCES: tuple[Source, ...] = (  # the first source that accepts a name loads the network
    files.SHIPPED_SOURCE,
    applications.KERAS_SOURCE,
    applications.HUB_SOURCE,
    files.FILE_SOURCE,
)


def load_universal(
    source: str | os.PathLike, *, backbone: str | None = None, **config: Any
) -> Universal:
    """Loads a universal network.

    Args:
        source: one of
            - the name of a shipped network: "imagenet" for photographs, an EfficientNet-Lite0, or
              "tiny_imagenet" for small pictures;
            - the path of a safetensors file of `save_universal`;
            - the path of a safetensors file of a PyTorch program, with `backbone`;
            - "imagenet", with a `backbone` of `keras.applications`: downloads its weights;
            - the path of an .h5 file of Keras, with a `backbone` of `keras.applications`;
            - "keras_hub:PRESET".
        backbone: the backbone's name, if the source does not name it. In a safetensors file that
            does not name it, weights are found by their PyTorch names (`backbones.torch_names`).
        **config: settings of the backbone, such as `image_size`; they replace the settings in the
            file.

    Raises:
        weights.WeightsError: no such name or file, no backbone is named, or the file does not fit
            its backbone.
        TailorError: an unknown backbone or setting.
    """
    name = os.fspath(source)
    for known in SOURCES:
        if known.accepts(name, backbone):
            return known.load(name, backbone, config)
    usages = ", ".join(known.usage for known in SOURCES)
    raise WeightsError(f"No universal network {name!r}; expected {usages}.")
