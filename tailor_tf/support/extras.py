"""Packages that an installation may lack: those of extras, such as `tailor_tf[export]`."""

import importlib.util
from collections.abc import Mapping

from tailor_tf.support.errors import TailorError

# Modules to import, by the extra of `requirements.txt` that installs them; smaller extras first.
EXTRAS: Mapping[str, frozenset[str]] = {
    "serving": frozenset({"tensorflow_serving"}),
    "tfds": frozenset({"importlib_resources", "tensorflow_datasets"}),
    "export": frozenset(
        {
            "ai_edge_litert",
            "onnx",
            "onnxruntime",
            "tensorflow_model_optimization",
            "tensorflow_serving",
            "tf2onnx",
        }
    ),
}


class MissingPackageError(TailorError):
    """A package of an extra that is not installed."""


def require(*modules: str) -> None:
    """Refuses to go on without packages, before the work that needs them.

    Args:
        *modules: the modules that will be imported, all of one extra; modules that belong to none
            are there in every installation.

    Raises:
        MissingPackageError: names the modules that cannot be found and the extra to install.
    """
    wanted = dict.fromkeys(module.partition(".")[0] for module in modules)
    optional = frozenset().union(*EXTRAS.values())
    missing = [name for name in wanted if name in optional and not _is_installed(name)]
    if missing:
        extra = next(extra for extra, known in EXTRAS.items() if known.issuperset(missing))
        raise MissingPackageError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed; expected "
            f'what pip install "tailor_tf[{extra}]" installs.'
        )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
