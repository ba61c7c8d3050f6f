"""Flattening: a copy of a Keras image network without networks inside networks and without dropout.

The copy has the same weights and computes the same function in inference. Each of its activations
is an operation of its own, so that a network can be cut on both sides of it.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import tree

from tailor_tf.network.factories import settings
from tailor_tf.support.errors import TailorError

ACTIVATIONS = (kl.Activation, kl.ReLU, kl.LeakyReLU, kl.ELU, kl.PReLU, kl.Softmax)
SIZES = (kl.Resizing, kl.CenterCrop, kl.RandomCrop)  # change the size of images
_NOISE = (kl.Dropout, kl.SpatialDropout2D, kl.GaussianNoise, kl.GaussianDropout, kl.AlphaDropout)
_RANDOM = (v for name, v in vars(kl).items() if name.startswith("Random") and v not in SIZES)
_AUGMENTATIONS = (kl.AugMix, kl.CutMix, kl.MixUp, kl.RandAugment, *_RANDOM)


def flattened(model: keras.Model, sides: tuple[int, int] | None = None) -> keras.Model:
    """Copies a network with its weights, without nesting, fused activations, noise and dropout.

    Layers that augment images or change their size are left out, too. Weights become float32, and
    the layers follow the process's dtype policy, whatever the policies of the model's layers are.

    Args:
        model: functional or sequential, with one input and one output; not changed.
        sides: height and width of the copy's input, pixels; those of the model by default.

    Raises:
        TailorError: the network uses a layer twice.
    """

    def copied(operation, prefix=""):
        if isinstance(operation, keras.Model):
            inner = functools.partial(copied, prefix=f"{prefix}{operation.name}_")
            return lambda x, **_: replay(operation, x, inner)
        if isinstance(operation, SIZES):
            return lambda x, **_: x if x.shape[-1] == 3 else operation(x)
        if _is_dropped(operation):
            return lambda x, **_: x
        copy = _once(_copy(operation, prefix + operation.name), operation)
        fused = getattr(operation, "activation", None)
        if isinstance(operation, ACTIVATIONS) or fused in (None, keras.activations.linear):
            return copy
        activation = kl.Activation(fused, name=f"{prefix}{operation.name}_activation")
        return lambda x, **_: activation(copy(x))

    x = keras.Input((*(sides or model.inputs[0].shape[1:3]), 3), name="images")
    return keras.Model(x, replay(model, x, copied), name=model.name)


def replay(model: keras.Model, x: Any, copy: Callable[[keras.Operation], Callable]) -> Any:
    """Calls the operations of a functional network again, each one replaced by `copy`.

    Args:
        model: a network with one input and one output.
        x: tensor that replaces the network's input.
        copy: from an operation to its replacement, a callable with the same arguments.

    Returns:
        The tensor that replaces the network's output.
    """
    [x] = tree.flatten(x)
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = copy(layer)(x)
        return x
    results = [x]

    def call(operation, *args, **kwargs):
        results.append(operation(*args, **kwargs))
        return results[-1]

    # A model of the same tensors is not compiled, and its input is a tensor and not a list.
    plain = keras.Model(model.inputs[0], model.outputs[0])
    keras.models.clone_model(plain, input_tensors=x, clone_function=copy, call_function=call)
    return results[-1]  # the operation of the output is the deepest and is called last


def _once(fresh: keras.Operation, source: keras.Operation) -> Callable:
    """A function that calls `fresh` with the weights of `source`, and refuses a second call."""
    calls = []

    def call(*args, **kwargs):
        calls.append(args)
        if len(calls) > 1:
            raise TailorError(
                f"The network uses its layer {source.name} more than once; a network that shares "
                "weights between its parts cannot be cut."
            )
        y = fresh(*args, **kwargs)
        if isinstance(source, keras.Layer) and not isinstance(source, kl.Normalization):
            fresh.set_weights(source.get_weights())
        return y

    return call


def _is_dropped(operation: keras.Operation) -> bool:
    dropped = isinstance(operation, (*_NOISE, *_AUGMENTATIONS))
    return dropped or type(operation).__name__ == "StochasticDepth"


def _copy(operation: keras.Operation, name: str) -> keras.Operation:
    """A copy without fused activation; a `Normalization` keeps its mean and variance."""
    config = settings(name, operation)
    if "activation" in config and not isinstance(operation, ACTIVATIONS):
        config["activation"] = None
    if isinstance(operation, kl.Normalization):
        config |= {k: np.squeeze(getattr(operation, k)).tolist() for k in ("mean", "variance")}
    return type(operation).from_config(config)
