"""tailor_tf: one universal network, tailored to many image-recognition tasks.

NetTailor (Morgado and Vasconcelos, CVPR 2019) for Keras 3 and TensorFlow. All tasks share the
blocks of one pre-trained network. For each task, small layers and gates are trained beside these
blocks, and blocks with little attention are removed. The remaining network is as small as the task
allows.
"""

import importlib

__version__ = "0.1.0"

# Modules are imported on first use: data and training need TensorFlow, but networks can be built
# on any Keras backend without it.
_HOMES = {
    "Architecture": "network.architecture",
    "BlockGraph": "network.graph",
    "Bundle": "bundle.loaded",
    "Path": "network.architecture",
    "Prediction": "bundle.loaded",
    "Recipe": "training.recipe",
    "Result": "tailoring.run",
    "Run": "tailoring.run",
    "Settings": "tailoring.settings",
    "Student": "method.student",
    "TailorError": "support.errors",
    "TailoredTask": "method.task_pack",
    "TaskInfo": "data.task_info",
    "TrainingOptions": "training.options",
    "Universal": "backbones.universal",
    "compact": "method.compaction",
    "load_task": "data.sources",
    "load_task_pack": "method.task_pack",
    "load_universal": "backbones.loading",
    "save_task_pack": "method.task_pack",
    "save_universal": "backbones.universal",
    "tailor": "tailoring.tailor",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
