"""tailor_tf: one universal network, tailored to many image-recognition tasks.

NetTailor (Morgado and Vasconcelos, CVPR 2019) for Keras 3 and TensorFlow: the blocks of one
pre-trained network are shared by all tasks; per task, small layers and gates are trained beside
them, blocks with little attention are removed, and what is left is as small as the task allows.
"""

import importlib

# Imported when first asked for: networks can be built on any Keras backend without TensorFlow,
# which data and training need.
_HOMES = {
    "Architecture": "network.graph",
    "BlockGraph": "network.graph",
    "Bundle": "bundle.loaded",
    "Path": "network.graph",
    "Prediction": "bundle.loaded",
    "Recipe": "training.loop",
    "Result": "tailoring.run",
    "Run": "tailoring.run",
    "Settings": "tailoring.settings",
    "Tailored": "method.task_pack",
    "TailorError": "support.errors",
    "Universal": "backbones.universal",
    "compact": "method.compaction",
    "load_task": "data",
    "load_task_pack": "method.task_pack",
    "load_universal": "backbones.universal",
    "save_task_pack": "method.task_pack",
    "save_universal": "backbones.universal",
    "tailor": "tailoring.run",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
