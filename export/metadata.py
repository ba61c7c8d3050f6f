"""What travels inside of every artifact: the task's name, its classes and its preprocessing."""

import dataclasses
import json

from tailor_tf.data import Preprocessing
from tailor_tf.support.errors import TailorError

LABELS_FILE = "labels.txt"
METADATA_FILE = "metadata.json"


class ArtifactError(TailorError):
    """An artifact that cannot be made, read or run."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a network's answers mean, and what its images go through.

    Attributes:
        name: the task's name.
        classes: class names, in the order of the logits.
        preprocessing: from an image to the network's input.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def files(self) -> dict[str, str]:
        """The files that travel with an artifact: class names, one a line, and all of this."""
        labels = "".join(f"{name}\n" for name in self.classes)
        return {LABELS_FILE: labels, METADATA_FILE: self.to_json()}

    def to_json(self) -> str:
        """The whole as one JSON object."""
        return json.dumps(
            {
                "name": self.name,
                "classes": self.classes,
                "preprocessing": json.loads(self.preprocessing.to_json()),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Metadata":
        """The inverse of `to_json`."""
        data = json.loads(text)
        preprocessing = Preprocessing.from_json(json.dumps(data["preprocessing"]))
        return cls(data["name"], tuple(data["classes"]), preprocessing)
