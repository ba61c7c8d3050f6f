"""A bundle on disk: one file for the universal network and one task pack per task.

The name of a file is the SHA-256 of its content, and files never change. The manifest lists the
files of the bundle and is replaced in one step: if a change is killed, the bundle is either as
before or completely changed.
"""

import dataclasses
import errno
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from tailor_tf.backbones.loading import load_universal
from tailor_tf.backbones.universal import Universal, save_universal
from tailor_tf.bundle.manifest import BundleError, Entry, Manifest
from tailor_tf.bundle.packs import Pack, StoredTask
from tailor_tf.method.task_pack import TailoredTask, load_task_pack, read_header
from tailor_tf.network import keys, weights
from tailor_tf.support import files, locks, names
from tailor_tf.support.errors import TailorError

MANIFEST = "bundle.json"
UNIVERSAL = "universal"
PACKS = "packs"
_NETWORK = "the universal network"

_Result = TypeVar("_Result")
_LEFTOVER = re.compile(r"[0-9a-f]{64}\.safetensors|\.[0-9a-f]{64}\.safetensors\..+")


class BundleStore:
    """A bundle's directory: `bundle.json`, `universal/SHA256.safetensors`, `packs/`.

    Reading needs no lock. Changes lock the directory (`locks.locked`), do not touch the files of
    other tasks, and remove files that killed changes left.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)

    @classmethod
    def create(
        cls, path: str | os.PathLike, universal: Universal, packs: Sequence[Pack]
    ) -> "BundleStore":
        """Makes a bundle of one task or more.

        Args:
            path: a directory that does not exist or is empty.
            universal: the universal network; stored in half precision if its weights are exact in
                it.
            packs: the tasks over this universal network.

        Raises:
            BundleError: the directory is not empty, there is no task, two tasks have the same name,
                or a task belongs to another universal network.
            names.TaskNameError: two names differ by case or Unicode form alone.
            locks.InUseError: another process is changing the directory.
        """
        store, content = cls(path), _encoded(universal)
        if not packs:
            raise BundleError("There is no task for the bundle; expected at least one task pack.")
        manifest = Manifest(universal.fingerprint, Entry.of(content), {})
        for pack in packs:
            manifest = store._with(manifest, pack)
        store._check_free()
        with locks.locked(path):
            store._check_free()
            store._write(UNIVERSAL, content)
            for pack in packs:
                store._write(PACKS, pack.content)
            store._publish(manifest)
        return store

    def _check_free(self) -> None:
        found = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        if MANIFEST in found:
            raise BundleError(f"{self.path} is a bundle already; add tasks to it.")
        left = {name for name in found if name.startswith(f".{MANIFEST}.")}  # of killed programs
        others = found - {UNIVERSAL, PACKS, locks.LOCK} - left
        if others:
            raise BundleError(
                f"{self.path} holds {min(others)}; expected a directory that is new or empty."
            )

    def read(self) -> Manifest:
        """Reads the manifest.

        Raises:
            BundleError: there is no bundle, it was written by a newer version of this project, or
                its manifest is damaged.
            files.FileKindError: a link or a pipe is in the place of the manifest.
        """
        path = self.path / MANIFEST
        try:
            return Manifest.from_json(files.read_bytes(path), origin=str(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleError(
                f"There is no bundle at {self.path}; expected a directory with {MANIFEST} that "
                "pipelines.bundle made."
            ) from error

    def consistently(self, act: Callable[[Manifest], _Result]) -> _Result:
        """Calls `act` with the manifest, again if the bundle was changed meanwhile.

        A change may remove files that `act` is about to read.

        Returns:
            The result of `act`.

        Raises:
            BundleError: `act` raised this error, and the manifest is still the same.
        """
        while True:
            manifest = self.read()
            try:
                return act(manifest)
            except BundleError:
                if self.read() == manifest:
                    raise

    def universal(self) -> Universal:
        """Loads the universal network.

        Raises:
            BundleError: its file is missing or damaged.
        """
        return load_universal(self._checked_file(UNIVERSAL, self.read().universal, _NETWORK))

    def task(self, name: str, entry: Entry, universal: Universal) -> TailoredTask:
        """Loads a task of the manifest over the bundle's universal network.

        Raises:
            BundleError: its task pack is missing or damaged.
            task_pack.TaskPackError: `universal` is another network.
        """
        path = self._checked_file(PACKS, entry, f"the task pack of {name}")
        return load_task_pack(path, universal, name)

    def load(self) -> dict[str, TailoredTask]:
        """Loads all tasks, by name, with one copy of the universal kernels in memory.

        Raises:
            BundleError: a file is missing or damaged.
        """
        universal = self.universal()
        return self.consistently(
            lambda manifest: {
                name: self.task(name, entry, universal) for name, entry in manifest.tasks.items()
            }
        )

    def describe(self) -> dict[str, StoredTask]:
        """Descriptions of the tasks, by name, without a check of the checksums.

        Raises:
            BundleError: there is no bundle.
            TailorError: a task pack is missing or cannot be read.
        """
        found = {}
        for name, entry in self.read().tasks.items():
            found[name] = StoredTask(read_header(self._file(PACKS, entry)), entry.bytes)
        return found

    def add(self, pack: Pack) -> Manifest:
        """Adds a task.

        Raises:
            BundleError: there is no bundle, it has a task with this name, or it has another
                universal network.
            names.TaskNameError: its name differs from another one by case or Unicode form alone.
            locks.InUseError: another process is changing the bundle.
        """
        self.read()  # refuses a missing bundle before the lock makes its directory
        with locks.locked(self.path):
            manifest = self._with(self.read(), pack)
            self._write(PACKS, pack.content)
            return self._publish(manifest)

    def remove(self, name: str) -> Manifest:
        """Removes a task.

        Raises:
            BundleError: there is no such task, or it is the last one.
            locks.InUseError: another process is changing the bundle.
        """
        self.read()
        with locks.locked(self.path):
            manifest = self.read()
            if name not in manifest.tasks:
                known = ", ".join(manifest.tasks)
                raise BundleError(f"{self.path} has no task {name!r}; it has {known}.")
            if len(manifest.tasks) == 1:
                raise BundleError(
                    f"{name} is the last task of {self.path}; expected at least one other task. "
                    "Add another one first, or delete the directory."
                )
            rest = {task: entry for task, entry in manifest.tasks.items() if task != name}
            without = dataclasses.replace(manifest, tasks=rest)
            try:
                return self._publish(without)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                # The task's own file makes room; if the program is killed here, this task alone
                # is incomplete, and can be removed again.
                self._remove_unnamed(without)
                return self._publish(without)

    def verify(self) -> Manifest:
        """Reads all files and compares them with the manifest.

        Raises:
            BundleError: files are missing or damaged; the message names all of them.
        """

        def check(manifest):
            problems = list(self._problems(manifest))
            if problems:
                raise BundleError(
                    f"{self.path} is damaged: {'; '.join(problems)}. Remove damaged tasks and add "
                    "them again; if the universal network is damaged, create the bundle anew."
                )
            return manifest

        return self.consistently(check)

    def _problems(self, manifest: Manifest) -> Iterator[str]:
        try:
            tensors, _ = weights.read(self._checked_file(UNIVERSAL, manifest.universal, _NETWORK))
            own = {key: value for key, value in tensors.items() if not keys.is_classifier(key)}
            if weights.checksum(own) != manifest.fingerprint:
                yield f"{_NETWORK} is not the one that {MANIFEST} says"
        except TailorError as error:
            yield str(error).rstrip(".")
        for name, entry in manifest.tasks.items():
            what = f"the task pack of {name}"
            try:
                header = read_header(self._checked_file(PACKS, entry, what))
                if header.fingerprint != manifest.fingerprint:
                    yield f"{what} belongs to another universal network"
            except TailorError as error:
                yield str(error).rstrip(".")

    def _file(self, folder: str, entry: Entry) -> pathlib.Path:
        """The path of a file in a folder that is a real one: a link leads to other files."""
        files.check_folder(self.path / folder)
        return self.path / folder / f"{entry.sha256}.safetensors"

    def _checked_file(self, folder: str, entry: Entry, what: str) -> pathlib.Path:
        """The path of a file, after a check of its size and checksum."""
        path = self._file(folder, entry)
        try:
            received, size = files.sha256(path), path.stat().st_size
        except FileNotFoundError as error:
            raise BundleError(f"{what} is missing: there is no file {path}.") from error
        if size < entry.bytes:
            raise BundleError(
                f"{what} was cut short: {path} has {size:,} bytes, expected {entry.bytes:,}."
            )
        if received != entry.sha256:
            raise BundleError(f"{what} was altered: {path} has the SHA-256 {received[:16]}.")
        return path

    def _write(self, folder: str, content: bytes) -> None:
        with files.replacing(self._file(folder, Entry.of(content))) as temporary:
            temporary.write_bytes(content)

    def _with(self, manifest: Manifest, pack: Pack) -> Manifest:
        """The manifest with one more task."""
        fingerprint = pack.task.student.universal.fingerprint
        if fingerprint != manifest.fingerprint:
            raise BundleError(
                f"{pack.name} belongs to another universal network, with fingerprint "
                f"{fingerprint[:16]}; {self.path} expects {manifest.fingerprint[:16]}."
            )
        if pack.name in manifest.tasks:
            raise BundleError(
                f"{self.path} has a task {pack.name} already; give the new one another name, or "
                "remove the old one."
            )
        names.check_distinct(pack.name, manifest.tasks, self.path)
        names.check_signatures(pack.name, manifest.tasks, self.path)
        tasks = {**manifest.tasks, pack.name: Entry.of(pack.content)}
        return dataclasses.replace(manifest, tasks=tasks)

    def _publish(self, manifest: Manifest) -> Manifest:
        """Replaces the manifest and removes files that it does not list."""
        files.write_text(self.path / MANIFEST, manifest.to_json())
        self._remove_unnamed(manifest)
        return manifest

    def _remove_unnamed(self, manifest: Manifest) -> None:
        """Removes files that the manifest does not list."""
        named = {self._file(UNIVERSAL, manifest.universal)}
        named |= {self._file(PACKS, entry) for entry in manifest.tasks.values()}
        for folder in (UNIVERSAL, PACKS):
            files.check_folder(self.path / folder)
            for path in (self.path / folder).iterdir():
                if path not in named and _LEFTOVER.fullmatch(path.name):
                    path.unlink()
        for path in self.path.glob(f".{MANIFEST}.*"):
            path.unlink()


def _encoded(universal: Universal) -> bytes:
    """File content of a universal network, in half precision if its weights are exact in it."""
    arrays = weights.arrays(universal.model).values()
    with np.errstate(over="ignore"):
        same = all(np.array_equal(a.astype(np.float16).astype(a.dtype), a) for a in arrays)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / UNIVERSAL
        save_universal(path, universal.graph, universal.model, "float16" if same else "float32")
        return path.read_bytes()
