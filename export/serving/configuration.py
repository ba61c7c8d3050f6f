"""Configurations of TensorFlow Serving for a folder of models, and a compose file to start it."""

import importlib.resources
import os
import pathlib
import string

from google.protobuf import text_format

from export.saved_model.requests import MAX_BATCH
from tailor_tf.support import files

GRPC_PORT, REST_PORT = 8500, 8501
TEMPLATES = ("batching.config", "monitoring.config", "compose.yaml")  # beside this module

_VALUES = {"grpc_port": GRPC_PORT, "rest_port": REST_PORT, "max_batch": MAX_BATCH}


def template(name: str) -> str:
    """The text of one of `TEMPLATES`, ports and size of batches filled in."""
    text = (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")
    return string.Template(text).substitute(_VALUES)


def write_configurations(folder: str | os.PathLike) -> None:
    """Writes the configurations for all models in a folder, and the file that starts a server.

    Args:
        folder: the folder that the server sees as `/models`: a folder of versions per model. Files
            of `TEMPLATES` that are there are kept, as they may have been changed.
    """
    folder = pathlib.Path(folder)
    files.write_text(folder / "models.config", _models_config(folder))
    for name in TEMPLATES:
        if not (folder / name).exists():
            files.write_text(folder / name, template(name))


def _models_config(folder: pathlib.Path) -> str:
    """The list of models, a `ModelServerConfig` as text: of all folders whose names are UTF-8."""
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name.isprintable() and not path.name.startswith("."):
            model = config.model_config_list.config.add()
            model.name, model.base_path = path.name, f"/models/{path.name}"
            model.model_platform = "tensorflow"
    return text_format.MessageToString(config)
