"""Any Keras image model as a universal network: its front and top cut away, the rest in blocks."""

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

import keras
from keras import layers as kl

from tailor_tf.backbones import acceptance, definition, top
from tailor_tf.backbones.backbone import check_size
from tailor_tf.backbones.cutting import cut
from tailor_tf.backbones.ends import Wiring, unique
from tailor_tf.backbones.flattening import SIZES, flattened
from tailor_tf.backbones.front import Front, end_of_front, front, stated
from tailor_tf.backbones.universal import Universal, universal_from_tensors
from tailor_tf.network.graph import BlockGraph, Normalisation
from tailor_tf.network.layers import full_precision
from tailor_tf.network.weights import WeightsError
from tailor_tf.support.errors import TailorError

NAME = "keras_model"  # in the config of a graph
_SETTINGS = ("image_size", "blocks", "normalisation")


def universal(
    model: keras.Model,
    *,
    name: str | None = None,
    image_size: int | None = None,
    blocks: int | None = None,
    normalisation: Any = None,
) -> Universal:
    """Makes a Keras model a universal network.

    Layers at its front that normalise images become the network's normalisation. Augmentation,
    dropout, pooling and classifier are left out. The weights are copied, as float32; the layers
    follow the process's dtype policy.

    Args:
        model: functional or sequential, also nested, from images `[batch, height, width, 3]` to
            classes or features; not changed.
        name: its name in error messages; the model's own by default.
        image_size: side of the network's square input, pixels; the model's own by default.
        blocks: number of blocks; by default one for each unit, but at most `cutting.MOST_BLOCKS`.
        normalisation: how its images are normalised, if it has no layers that do it, see
            `front.stated`.

    Raises:
        TailorError: the model is of another kind, or cannot be cut; the message says why.
    """
    name, known = name or f"The model {model.name}", stated(normalisation)
    acceptance.check(model, name)
    try:
        with full_precision():
            trunk, own = _trunk(model, name, image_size, known)
    except TailorError:
        raise
    except Exception as error:  # Keras raises errors of any class
        raise TailorError(
            f"{name} cannot be built from its layers at {image_size or 'its own'} pixels: "
            f"{definition.first_line(error)}"
        ) from error
    config = {"name": NAME, "image_size": trunk.input.shape[1]}
    graph, tensors = cut(trunk, config, blocks=blocks, normalisation=own, origin=name)
    return universal_from_tensors(_named(graph, trunk.name), tensors, origin=name)


def described(
    config: Mapping[str, Any], text: str, normalisation: Normalisation | None, origin: str
) -> BlockGraph:
    """The description of a network that was cut before, from its definition.

    Args:
        config: settings of the graph; `image_size` may be another one.
        text: the definition, JSON.
        normalisation: normalisation of its images.
        origin: name of the file, for error messages.

    Raises:
        WeightsError: the definition is not the one in `config`, or cannot be built.
        TailorError: the network cannot be cut at this size.
    """
    received, wanted = definition.fingerprint(text), config.get("definition")
    if wanted not in (None, received):
        raise WeightsError(
            f"{origin} was altered: its definition has the fingerprint {received}, expected "
            f"{wanted}."
        )
    check_settings(set(config) - {"name", "definition"}, origin)
    settings = {key: value for key, value in config.items() if key != "blocks"}
    with full_precision():
        flat = definition.built(text, config["image_size"], origin)
    if config["name"] == NAME:
        check_size(origin, config["image_size"], _total_stride(flat, flat.output))
    options = {"normalisation": normalisation, "origin": origin}
    graph = cut(flat, settings, blocks=config["blocks"], **options)[0]
    return _named(graph, flat.name) if config["name"] == NAME else graph


def check_settings(received: Collection[str], name: str) -> None:
    """Refuses settings that a network that was cut does not have.

    Args:
        received: names of settings.
        name: the network's name.

    Raises:
        TailorError: names the unknown settings and the known ones.
    """
    if unknown := sorted(set(received) - set(_SETTINGS)):
        raise TailorError(
            f"{name} has no setting {', '.join(unknown)}; it takes {', '.join(_SETTINGS)}."
        )


def _named(graph: BlockGraph, name: str) -> BlockGraph:
    """The graph with the model's name, and with the fingerprint of its definition in its config."""
    config = {**graph.config, "definition": definition.fingerprint(graph.definition)}
    return dataclasses.replace(graph, name=name, config=config)


def _trunk(
    model: keras.Model, name: str, image_size: int | None, known: Front | None
) -> tuple[keras.Model, Normalisation]:
    """The flattened network without front and top, at its image size, and its normalisation."""
    own = _own_sides(model)
    if image_size is None and (own is None or own[0] != own[1]):
        sides = "any size" if own is None else f"{own[0]}x{own[1]} pixels"
        raise TailorError(
            f"{name} takes images of {sides}; expected a square: name its side with --image_size, "
            "or image_size=."
        )
    side = own[0] if image_size is None else image_size
    check_size(name, side, 1)
    flat = flattened(model, own or (side, side))
    start, end = end_of_front(flat), top.features(flat, name)
    found = front(flat, start, known, name)
    check_size(name, side, _total_stride(flat, end))
    plain_name = re.sub(r"\W+", "_", model.name, flags=re.ASCII).strip("_") or NAME
    trunk = flattened(keras.Model(start, end, name=plain_name), (side, side))
    if found.blue_first:
        _reverse_colours(trunk, name)
    return trunk, found.normalisation


def _own_sides(model: keras.Model) -> tuple[int, int] | None:
    """Height and width of the images that a model's convolutions read; `None` for any."""
    resized = [op for op, _ in acceptance.operations(model, "") if isinstance(op, SIZES)]
    own = (resized[-1].height, resized[-1].width) if resized else model.inputs[0].shape[1:3]
    return None if None in own else tuple(own)


def _total_stride(flat: keras.Model, end: Any) -> int:
    """Product of the strides between the image and a tensor of a flattened network."""
    strides = {id(flat.input): 1}
    for operation in flat.operations[1:]:
        before = max(strides[id(tensor)] for tensor in unique(operation.input))
        own = getattr(operation, "strides", 1)
        strides[id(operation.output)] = before * (own if isinstance(own, int) else max(own))
    return strides[id(end)]


def _reverse_colours(flat: keras.Model, name: str) -> None:
    """Makes the first convolution read red, green, blue instead of blue, green, red."""
    wiring = Wiring(flat)
    readers = wiring.readers(flat.input)
    while len(readers) == 1 and isinstance(readers[0], kl.ZeroPadding2D):
        readers = wiring.readers(readers[0].output)
    if len(readers) != 1 or type(readers[0]) is not kl.Conv2D or readers[0].groups != 1:
        raise TailorError(
            f"{name} reads blue, green, red by other layers than one convolution; expected a "
            "network that reads red, green, blue."
        )
    readers[0].kernel.assign(keras.ops.flip(readers[0].kernel, axis=2))
