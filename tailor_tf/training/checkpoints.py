"""Checkpoints of a training on disk: the newest, the previous and the best state."""

import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from tailor_tf.network import weights
from tailor_tf.support import files
from tailor_tf.support.errors import TailorError


class Checkpoints:
    """The checkpoints of one training. If the program is killed, a complete one is always left.

    Args:
        path: file of the newest state, `NAME.safetensors`. `NAME.previous.safetensors` and
            `NAME.best.safetensors` lie beside it.
    """

    def __init__(self, path: str | os.PathLike):
        self.newest = pathlib.Path(path)
        self.previous = self.newest.with_suffix(".previous.safetensors")
        self.best = self.newest.with_suffix(".best.safetensors")

    def save(
        self, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any], *, best: bool
    ) -> None:
        """Writes a state as the newest one.

        Args:
            tensors: the state's arrays by key.
            metadata: further parts of the state, JSON values.
            best: whether it is also the best state so far.

        Raises:
            TailorError: the file cannot be written, as on a full disk; the state before it is kept.
        """
        fresh = self.newest.with_suffix(".next.safetensors")
        try:
            weights.write(fresh, tensors, weights.sealed(tensors, metadata))
            if best:
                self._link(fresh, self.best)
            if self.newest.exists():
                os.replace(self.newest, self.previous)
            os.replace(fresh, self.newest)
        except OSError as error:
            raise TailorError(
                f"Cannot write the checkpoint {self.newest}: {error}. The state before it is kept; "
                "make room on the disk and start again."
            ) from error

    @staticmethod
    def _link(source: pathlib.Path, target: pathlib.Path) -> None:
        """Makes a hard link to a file, or a copy if the file system has no hard links."""
        temporary = target.with_suffix(".link")
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)

    def finish(self) -> None:
        """Removes the previous state, and unfinished files of killed programs."""
        self.previous.unlink(missing_ok=True)
        self.best.with_suffix(".link").unlink(missing_ok=True)
        for path in self.newest.parent.glob(f".{self.newest.stem}.*"):
            path.unlink()

    def remove(self) -> None:
        """Removes all states."""
        for path in (self.newest, self.previous, self.best):
            path.unlink(missing_ok=True)
        self.finish()

    def read(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest state that can be read, tensors and metadata; `None` if there is no state.

        Raises:
            TailorError: there are states, but none can be read.
        """
        return self._first_readable()

    def read_metadata(self) -> dict[str, Any] | None:
        """The metadata of the state that `read` returns.

        Raises:
            TailorError: there are states, but none can be read.
        """
        found = self._first_readable()
        return found and found[1]

    def _first_readable(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        problems = []
        for path in (self.newest, self.previous):
            if path.exists():
                files.check_file(path)
                try:
                    return _whole(path)
                except weights.WeightsError as error:
                    problems.append(str(error))
                    logging.warning("%s Trying the state before it.", error)
        if problems:
            raise TailorError(
                f"No state of {self.newest} can be read; delete it to start again. {problems[0]}"
            )
        return None


def _whole(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and metadata of a state, after a check of its checksum."""
    tensors, metadata = weights.read(path)
    weights.check_whole(path, tensors, metadata)
    return tensors, metadata
