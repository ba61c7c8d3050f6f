"""Front of a Keras model: the layers that normalise images, as a mean and a standard deviation.

Such layers are `Rescaling`, `Normalization`, and the arithmetic of Keras's `preprocess_input`.
Their function is measured on an image of random colours, so that it does not matter how it is
written.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers as kl

from tailor_tf.backbones.ends import Wiring, single_tensors
from tailor_tf.network.graph import Normalisation
from tailor_tf.support.errors import TailorError

_IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_LEVEL = (1 / 255, 1 / 255, 1 / 255)  # standard deviation that leaves levels 0..255 as they are


class Front(NamedTuple):
    """What happens to images before the first convolution.

    Attributes:
        normalisation: mean and standard deviation.
        blue_first: whether the first convolution reads blue, green, red.
    """

    normalisation: Normalisation
    blue_first: bool = False

    def in_words(self) -> str:
        """The front as flags of a program."""
        mean, std = (",".join(f"{v:.4g}" for v in values) for values in self.normalisation)
        order = ", blue before red" if self.blue_first else ""
        return f"--mean={mean} --std={std}{order}"


# Ways to normalise that Keras's `preprocess_input` calls so, and ImageNet's under its own name.
NAMED: Mapping[str, Front] = {
    "imagenet": Front(_IMAGENET),
    "torch": Front(_IMAGENET),
    "tf": Front(Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))),
    "caffe": Front(
        Normalisation((123.68 / 255, 116.779 / 255, 103.939 / 255), _LEVEL), blue_first=True
    ),
    "none": Front(Normalisation((0.0, 0.0, 0.0), _LEVEL)),
}

_LARGEST = 260.0  # values that networks read are smaller; levels 0..255 minus their mean are read
_CLOSE = 1e-3  # difference of means and deviations, of images in 0..1, that counts as none
_ARITHMETIC = {
    *("Add", "Subtract", "Multiply", "TrueDivide", "Divide", "Negative", "Cast", "Identity"),
    *("GetItem", "Stack", "Concatenate"),
}


def stated(normalisation: Any) -> Front | None:
    """The normalisation that a person states.

    Args:
        normalisation: one of `NAMED`, a pair of mean and standard deviation of red, green and blue
            in images scaled to 0..1, or `None`.

    Raises:
        TailorError: an unknown name, or no such pair.
    """
    if normalisation is None or isinstance(normalisation, Front):
        return normalisation
    if isinstance(normalisation, str) and normalisation in NAMED:
        return NAMED[normalisation]
    try:
        mean, std = ([float(v) for v in values] for values in normalisation)
        if len(mean) == len(std) == 3 and min(std) > 0 and np.isfinite([mean, std]).all():
            return Front(Normalisation(tuple(mean), tuple(std)))
    except (TypeError, ValueError):
        pass  # the message is the same
    raise TailorError(
        f"The normalisation is {normalisation!r}; expected one of {', '.join(NAMED)}, or mean and "
        "positive standard deviation of red, green and blue."
    )


def end_of_front(flat: keras.Model) -> Any:
    """The tensor of a flattened network behind its normalisation; the image if it has none."""
    single = {id(tensor) for tensor in single_tensors(flat, Wiring(flat))}
    end = flat.input
    for operation in flat.operations[1:]:
        if not _is_arithmetic(operation):
            break
        if id(operation.output) in single and operation.output.shape == flat.input.shape:
            end = operation.output
    return end


def _is_arithmetic(operation: keras.Operation) -> bool:
    if isinstance(operation, kl.Activation):
        return operation.activation is keras.activations.linear
    if isinstance(operation, keras.Layer):
        return isinstance(operation, kl.Rescaling | kl.Normalization)
    return type(operation).__name__ in _ARITHMETIC


def front(flat: keras.Model, end: Any, known: Front | None, name: str) -> Front:
    """The normalisation of a network, from its own layers or as it is stated.

    Args:
        flat: the flattened network.
        end: the tensor behind its own normalisation, from `end_of_front`.
        known: the normalisation as a person states it, if any.
        name: the network's name in error messages.

    Raises:
        TailorError: neither says it, or both say different things, or its own layers do something
            else than to scale and shift colours.
    """
    if end is flat.input:
        return _given(known, name)
    scale, offset, blue_first = _measured(keras.Model(flat.input, end), name)
    of_levels = _as_front(scale, offset, blue_first, 255)
    if np.abs([offset, 255 * scale + offset]).max() <= _LARGEST:
        own = of_levels
    elif known is not None:
        own = _as_front(scale, offset, blue_first, 1)  # trained on images scaled before
    else:
        scaled = _as_front(scale, offset, blue_first, 1)
        raise TailorError(
            f"{name} makes values up to {np.abs(255 * scale + offset).max():,.0f} of levels 0 to "
            "255 by its own layers, so it probably expects images that were scaled before; state "
            f"what it expects in all, such as {scaled.in_words()} for images scaled to 0..1."
        )
    if known is not None and not _same(own, known):
        raise TailorError(
            f"{name} has layers that normalise images as {own.in_words()}, which contradicts "
            f"{known.in_words()}; leave the normalisation out."
        )
    return own


def _given(known: Front | None, name: str) -> Front:
    if known is None:
        raise TailorError(
            f"{name} does not say how its images are normalised, and a wrong guess costs accuracy "
            "in silence; expected Rescaling or Normalization layers at its front, or "
            f"--normalisation={'|'.join(NAMED)}, or --mean and --std, as it was trained."
        )
    return known


def _measured(model: keras.Model, name: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """Scale and offset by which colours, in the order red, green, blue, become channels."""
    side = model.input.shape[1:3]
    images = np.random.default_rng(0).uniform(0, 255, (1, *side, 3)).astype(np.float32)
    outputs = keras.ops.convert_to_numpy(model(images, training=False))
    colours, outputs = (np.float64(a).reshape(-1, 3) for a in (images, outputs))
    with_one = np.column_stack([colours, np.ones(len(colours))])
    solution = np.linalg.lstsq(with_one, outputs, rcond=None)[0]
    matrix, offset = solution[:3], solution[3]
    blue_first = abs(matrix[0, 2]) > abs(matrix[0, 0])
    scale = np.diag(matrix[:, ::-1] if blue_first else matrix)
    offset = offset[::-1] if blue_first else offset
    expected = colours * scale + offset
    expected = expected[:, ::-1] if blue_first else expected
    if min(scale) <= 0 or not np.allclose(expected, outputs, atol=1e-3 * np.abs(outputs).max()):
        raise TailorError(
            f"{name} changes images before its first convolution in a way that is no mean and "
            "positive deviation per colour, the same for all pixels; leave these layers out and "
            "state the normalisation."
        )
    return scale, offset, blue_first


def _as_front(scale: np.ndarray, offset: np.ndarray, blue_first: bool, white: float) -> Front:
    """The front that computes `scale * image + offset` for images of levels 0 to `white`."""
    mean = tuple(round(float(value), 6) + 0.0 for value in -offset / (scale * white))  # no -0.0
    std = tuple(float(f"{value:.6g}") for value in 1 / (scale * white))
    return Front(Normalisation(mean, std), blue_first)


def _same(a: Front, b: Front) -> bool:
    close = np.allclose(a.normalisation, b.normalisation, rtol=0, atol=_CLOSE)
    return close and a.blue_first == b.blue_first
