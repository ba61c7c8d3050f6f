"""Loading a universal network by its name, and the registry of sources of universal networks."""

import os
from typing import Any

import keras

from tailor_tf.backbones import applications, files, keras_file, keras_models
from tailor_tf.backbones.source import Source
from tailor_tf.backbones.universal import Universal
from tailor_tf.network.weights import WeightsError
from tailor_tf.support.errors import TailorError

SOURCES: tuple[Source, ...] = (  # the first source that accepts a name loads the network
    files.SHIPPED_SOURCE,
    applications.KERAS_SOURCE,
    applications.HUB_SOURCE,
    keras_file.SOURCE,
    files.FILE_SOURCE,
)


def load_universal(
    source: str | os.PathLike | keras.Model,
    *,
    backbone: str | None = None,
    normalisation: Any = None,
    **config: Any,
) -> Universal:
    """Loads a universal network.

    Args:
        source: one of
            - the name of a shipped network: "imagenet" for photographs, an EfficientNet-Lite0, or
              "tiny_imagenet" for small pictures;
            - the path of a safetensors file of `save_universal`;
            - the path of a safetensors file of a PyTorch program, with `backbone`;
            - the path of a .keras or .h5 file of a Keras model, or the model itself;
            - "imagenet", with a `backbone` of `keras.applications`: downloads its weights;
            - the path of an .h5 file of weights, with a `backbone` of `keras.applications`;
            - "keras_hub:PRESET".
        backbone: the backbone's name, if the source does not name it. In a safetensors file that
            does not name it, weights are found by their PyTorch names (`backbones.torch_names`).
        normalisation: how images of a Keras model are normalised, if no layers at its front do it:
            "imagenet", "torch", "tf", "caffe", "none" (levels 0 to 255 as they are), or a pair of
            mean and standard deviation of red, green and blue in images scaled to 0..1. All other
            sources know it.
        **config: settings of the backbone, such as `image_size`; they replace the settings in the
            file.

    Raises:
        weights.WeightsError: no such name or file, no backbone is named, or the file does not fit
            its backbone.
        TailorError: an unknown backbone or setting, a Keras model that cannot be a universal
            network, or a normalisation that is missing or contradicts the source.
    """
    stated = {} if normalisation is None else {"normalisation": normalisation}
    if isinstance(source, keras.Model):
        keras_models.check_settings(config, f"The model {source.name}")
        return keras_models.universal(source, **stated, **config)
    name = os.fspath(source)
    known = source_of(name, backbone)
    if stated and not known.of_any_model:
        raise TailorError(
            f"{name} has a normalisation of its own and received {normalisation!r}; expected none, "
            "or a .keras or .h5 file of a Keras model. Mean and deviation of a task may differ "
            "from those of its universal network: set them there."
        )
    return known.load(name, backbone, {**stated, **config})


def source_of(name: str, backbone: str | None = None) -> Source:
    """The source that loads the network with this name, and with this backbone if one is named.

    Raises:
        weights.WeightsError: there is no such network.
    """
    for known in SOURCES:
        if known.accepts(name, backbone):
            return known
    usages = ", ".join(known.usage for known in SOURCES)
    raise WeightsError(f"No universal network {name!r}; expected {usages}.")
