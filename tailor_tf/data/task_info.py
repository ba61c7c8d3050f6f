"""Description of a task without its images."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tailor_tf.data.errors import DataError
from tailor_tf.data.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """Name, classes and preprocessing of a task, as task packs, artifacts and servers hold them.

    Attributes:
        name: short name, also used in file names.
        classes: class names, in the order of the logits.
        preprocessing: preprocessing from an image to the input of a network.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "preprocessing": self.preprocessing.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TaskInfo":
        """The inverse of `as_dict`; further entries are ignored.

        Raises:
            DataError: a field is missing.
        """
        try:
            name, classes, preprocessing = (
                data[key] for key in ("name", "classes", "preprocessing")
            )
        except KeyError as error:
            raise DataError(
                f"A task is described by {sorted(data)}; expected name, classes and preprocessing."
            ) from error
        return cls(name, tuple(classes), Preprocessing.from_dict(preprocessing))
