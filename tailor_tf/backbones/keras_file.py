"""Universal networks from files of Keras models, read without running anything that they hold."""

import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import keras

from tailor_tf.backbones import applications, definition, keras_models
from tailor_tf.backbones.source import Source
from tailor_tf.backbones.universal import Universal
from tailor_tf.network.weights import WeightsError
from tailor_tf.support import archives, files
from tailor_tf.support.json_text import parsed

_KERAS_MAJOR = "3"
_SUFFIXES = (".keras", ".h5", ".hdf5")


def load(name: str, backbone: str | None, config: Mapping[str, Any]) -> Universal:
    """Makes the model of a file a universal network.

    Args:
        name: path of a .keras or .h5 file.
        backbone: `None`, as the file names its network.
        config: keyword arguments of `keras_models.universal`.

    Raises:
        weights.WeightsError: a backbone is named, or as `read`.
        TailorError: the model cannot be a universal network.
    """
    if backbone is not None:
        raise WeightsError(f"{name} holds a whole model; expected no backbone, not {backbone}.")
    keras_models.check_settings(config, name)
    return keras_models.universal(read(name), name=name, **config)


def read(path: str) -> keras.Model:
    """Reads the model of a .keras or .h5 file in Keras's safe mode.

    Nothing that the file holds is executed: a `Lambda` layer is refused, and so are layers that are
    not Keras's own.

    Raises:
        weights.WeightsError: the file is damaged, of another version of Keras, or holds no whole
            model, or its model cannot be built again.
        files.FileKindError: there is a pipe or a device; it is not opened.
    """
    if pathlib.Path(path).is_dir():
        raise WeightsError(
            f"{path} is a folder, such as a SavedModel of TensorFlow; expected a model's file of "
            "Keras 3, which model.save('model.keras') writes."
        )
    files.check_file(path, follow=True)
    version, architecture = _content(path)
    if version.partition(".")[0] != _KERAS_MAJOR:
        raise WeightsError(
            f"{path} was written by Keras {version}; expected Keras {_KERAS_MAJOR}. Read it with "
            "its own version, build the model with Keras 3, and save it there as a .keras file."
        )
    _check_layers(path, architecture)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises errors of any class
        raise WeightsError(
            f"Keras cannot build the model of {path} from its layers and weights: "
            f"{definition.first_line(error)}"
        ) from error


def _content(path: str) -> tuple[str, Mapping[str, Any]]:
    """The version of Keras that wrote a file, and its architecture, JSON values."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                version = str(parsed(archives.read(file, "metadata.json"))["keras_version"])
                architecture = parsed(archives.read(file, "config.json"))
                # How it was compiled is not read, and may name losses of a person's own.
                return version, {**architecture, "compile_config": None}
        with h5py.File(path) as file:
            version = file.attrs.get("keras_version", "of an unknown version")
            version = version.decode() if isinstance(version, bytes) else version
            architecture = file.attrs.get("model_config")
        architecture = architecture and parsed(architecture)
    except (*archives.ERRORS, TypeError) as error:
        raise WeightsError(
            f"Cannot read a model from {path}: {definition.first_line(error)}. Expected a whole "
            "file that model.save('model.keras') of Keras 3 writes."
        ) from error
    if not architecture:
        raise WeightsError(
            f"{path} holds weights without a model; expected a whole model, or a backbone of "
            f"keras.applications: name it with --backbone, one of "
            f"{', '.join(applications.names())}."
        )
    return version, architecture


def _check_layers(path: str, architecture: Mapping[str, Any]) -> None:
    """Refuses layers that hold code, or that are not Keras's, before Keras reads any of them."""
    for entry in _objects(architecture):
        kind = entry["class_name"]
        module = entry.get("module") or "keras"
        config = entry.get("config")
        name = config.get("name", kind) if isinstance(config, Mapping) else config
        if kind in ("Lambda", "__lambda__"):
            raise WeightsError(
                f"{path} has the layer {name} ({kind}), which holds code; expected layers of "
                "Keras, as no code of a file is run."
            )
        known = keras.saving.get_registered_object(entry.get("registered_name") or "")
        if module.partition(".")[0] not in ("keras", "builtins") and not _is_own(known):
            raise WeightsError(
                f"{path} has the layer {name} ({kind} of {module}), which is no layer of Keras; "
                "expected layers that every process can build."
            )


def _is_own(known: Any) -> bool:
    return known is not None and known.__module__.startswith("tailor_tf.")


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """All serialised objects in JSON values."""
    if isinstance(value, Mapping):
        if isinstance(value.get("class_name"), str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _objects(entry)


def _accepts(name: str, backbone: str | None) -> bool:
    del backbone  # refused by `load`
    path = pathlib.Path(name)
    is_saved_model = (path / "saved_model.pb").exists()
    return is_saved_model or (path.suffix in _SUFFIXES and path.exists())


SOURCE = Source(
    usage="a .keras or .h5 file of a Keras model",
    accepts=_accepts,
    load=load,
    of_any_model=True,
)
