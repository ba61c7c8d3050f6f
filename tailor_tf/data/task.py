"""An image-classification task with its images."""

import dataclasses
from typing import Any

from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task_info import TaskInfo


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """An image-classification task, ready for training.

    Attributes:
        info: name, classes and preprocessing; a label is a position in the classes.
        train: the images to train on.
        validation: the images to select networks by.
        test: the images to report results on; None if their labels are withheld or no test split
            was asked for.
    """

    info: TaskInfo
    train: Split
    validation: Split
    test: Split | None

    @property
    def name(self) -> str:
        """The task's name."""
        return self.info.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.info.classes

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.info.num_classes

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing from an image to the input of a network."""
        return self.info.preprocessing

    @property
    def image_counts(self) -> dict[str, int]:
        """Number of images of each existing split, by its name."""
        return {split.name: len(split) for split in self._splits}

    @property
    def _splits(self) -> list[Split]:
        splits = (self.train, self.validation, self.test)
        return [split for split in splits if split is not None]

    def settings(self) -> dict[str, Any]:
        """Properties of the task that change the result of a training, as JSON values."""
        known = {split.name: dict(split.fingerprint) for split in self._splits if split.fingerprint}
        return {
            "task": self.name,
            "classes": list(self.classes),
            "images": self.image_counts,
            **({"fingerprint": known} if known else {}),
            "preprocessing": self.preprocessing.as_dict(),
        }
