"""tailor_tf: one universal network, tailored to many image-recognition tasks.

NetTailor (Morgado and Vasconcelos, CVPR 2019) for Keras 3 and TensorFlow: the blocks of one
pre-trained network are shared by all tasks; per task, small layers and gates are trained beside
them, blocks with little attention are removed, and what is left is as small as the task allows.
"""

from tailor_tf.backbones.universal import Universal, load_universal, save_universal
from tailor_tf.compaction import compact
from tailor_tf.data import load_task
from tailor_tf.graph import Architecture, BlockGraph, Path
from tailor_tf.tailoring import Result, Run, Settings, tailor
from tailor_tf.task_pack import Tailored, load_task_pack, save_task_pack
from tailor_tf.training import Recipe

__all__ = [
    "Architecture",
    "BlockGraph",
    "Path",
    "Recipe",
    "Result",
    "Run",
    "Settings",
    "Tailored",
    "Universal",
    "compact",
    "load_task",
    "load_task_pack",
    "load_universal",
    "save_task_pack",
    "save_universal",
    "tailor",
]
