"""Everything that a training in a process of its own needs, and the files of its results."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from export.optimize.description import Operation
from export.optimize.job import Job
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split

TFLITE = "network.tflite"  # result of "quantise"
CHANGED = "changed.npz"  # result of the other methods: weights by path

_DESCRIPTION = "assignment.json"
_WEIGHTS = "weights.npz"
_IMAGES = "images.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class Assignment:
    """A network and the training to put it through.

    Attributes:
        job: the training.
        network: description of the network.
        weights: its weights, by path.
        split: the images to train on.
        preprocessing: from these images to the network's input, with augmentation.
    """

    job: Job
    network: Sequence[Operation]
    weights: Mapping[str, np.ndarray]
    split: Split
    preprocessing: Preprocessing

    def save(self, folder: pathlib.Path) -> None:
        """Writes the assignment into a folder."""
        content = {
            "job": dataclasses.asdict(self.job),
            "network": [operation.as_dict() for operation in self.network],
            "preprocessing": self.preprocessing.as_dict(),
        }
        (folder / _DESCRIPTION).write_text(json.dumps(content), encoding="utf-8")
        np.savez(folder / _WEIGHTS, **self.weights)
        np.savez(folder / _IMAGES, images=self.split.images, labels=self.split.labels)

    @classmethod
    def load(cls, folder: pathlib.Path) -> "Assignment":
        """The inverse of `save`."""
        content = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        with np.load(folder / _WEIGHTS) as weights, np.load(folder / _IMAGES) as data:
            return cls(
                job=Job(**content["job"]),
                network=[Operation.from_dict(entry) for entry in content["network"]],
                weights=dict(weights),
                split=Split("train", data["labels"], data["images"]),
                preprocessing=Preprocessing.from_dict(content["preprocessing"]),
            )
