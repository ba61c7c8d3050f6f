"""Description of a task without its images."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tailor_tf.data.errors import DataError
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.support import limits


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """Name, classes and preprocessing of a task, as task packs, artifacts and servers hold them.

    Attributes:
        name: short name, also used in file names.
        classes: class names, in the order of the logits.
        preprocessing: preprocessing from an image to the input of a network.
        source: digest of the place of the task's images, which tells apart tasks of one name;
            `None` if an earlier version of this project wrote the file.
        pack: SHA-256 of the task pack that the task was read from; `None` if there is none.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    _: dataclasses.KW_ONLY
    source: str | None = dataclasses.field(default=None, compare=False)
    pack: str | None = dataclasses.field(default=None, compare=False)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values; those that are not known are left out."""
        origin = {"source": self.source, "pack": self.pack}
        return {
            "name": self.name,
            "classes": list(self.classes),
            "preprocessing": self.preprocessing.as_dict(),
            **{key: value for key, value in origin.items() if value is not None},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TaskInfo":
        """The inverse of `as_dict`; further entries are ignored.

        Raises:
            DataError: a field is missing, or name or classes are no text.
        """
        if not isinstance(data, Mapping):
            raise DataError("A task is described by no JSON object; expected name, classes, ...")
        try:
            name, classes, preprocessing = (
                data[key] for key in ("name", "classes", "preprocessing")
            )
        except KeyError as error:
            raise DataError(
                f"A task is described by {sorted(data)}; expected name, classes and preprocessing."
            ) from error
        texts = [name, *classes] if isinstance(classes, list) and classes else [None]
        if len(texts) > limits.CLASSES or not all(isinstance(text, str) for text in texts):
            raise DataError(
                "A task's name or classes are no text; expected a name and a list of at most "
                f"{limits.CLASSES:,} class names."
            )
        origin = {key: _text_or_none(data.get(key)) for key in ("source", "pack")}
        return cls(name, tuple(classes), Preprocessing.from_dict(preprocessing), **origin)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
