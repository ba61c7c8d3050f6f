"""Many tasks over one universal network in a directory: the network once, a task pack per task.

Files are named by the SHA-256 of what they hold and never change. One manifest says which of them
count, and is replaced in one step: a killed change leaves the bundle as it was or as it should be.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from tailor_tf.backbones.universal import Universal, load_universal, save_universal
from tailor_tf.bundle.manifest import BundleError, Entry, Manifest, checked_name
from tailor_tf.method.task_pack import Tailored, load_task_pack
from tailor_tf.network import keys, weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.support import locks
from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import replacing, write_text

MANIFEST = "bundle.json"
UNIVERSAL = "universal"
PACKS = "packs"
_NETWORK = "the universal network"

_Result = TypeVar("_Result")
_LEFTOVER = re.compile(r"[0-9a-f]{64}\.safetensors|\.[0-9a-f]{64}\.safetensors\..+")


@dataclasses.dataclass(frozen=True, eq=False)
class Pack:
    """A task pack that was read and fits its universal network.

    Attributes:
        content: the file.
        tailored: the task, under the name that it has or gets in a bundle.
    """

    content: bytes
    tailored: Tailored


@dataclasses.dataclass(frozen=True)
class Description:
    """What a bundle's task is, without its weights.

    Attributes:
        classes: class names, in the order of the logits.
        architecture: the paths of its student.
        bytes: size of its task pack.
    """

    classes: tuple[str, ...]
    architecture: Architecture
    bytes: int


def read_pack(path: str | os.PathLike, universal: Universal, name: str | None = None) -> Pack:
    """Reads a task pack that is to be added to a bundle.

    Args:
        path: the file.
        universal: the bundle's universal network.
        name: the task's name in the bundle; that in the pack by default.

    Raises:
        task_pack.TaskPackError: the pack was altered or belongs to another universal network.
        weights.WeightsError: it was cut short.
        BundleError: the name cannot be one of a task, or the file was replaced while it was read.
        OSError: there is no such file.
    """
    content = pathlib.Path(path).read_bytes()
    tailored = load_task_pack(path, universal)
    if pathlib.Path(path).read_bytes() != content:
        raise BundleError(f"{os.fspath(path)} was replaced while it was read; try again.")
    name = checked_name(tailored.name if name is None else name)
    return Pack(content, dataclasses.replace(tailored, name=name))


class BundleStore:
    """A bundle's directory: `bundle.json`, `universal/SHA256.safetensors`, `packs/`.

    Reading takes no lock. Changes take that of the directory (`locks.locked`), touch no file of
    other tasks, and remove what killed ones left behind.

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
            universal: the network; stored in half precision if nothing is lost by it.
            packs: the tasks over it.

        Raises:
            BundleError: the directory is taken, there is no task, two have one name, or one belongs
                to another universal network.
            locks.InUseError: another process is changing it.
        """
        store, content = cls(path), _encoded(universal)
        if not packs:
            raise BundleError("Expected at least one task to make a bundle of.")
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
        left = {name for name in found if name.startswith(f".{MANIFEST}.")}  # by a killed program
        others = found - {UNIVERSAL, PACKS, locks.LOCK} - left
        if others:
            raise BundleError(
                f"{self.path} holds {min(others)}; expected a directory that is new or empty."
            )

    def read(self) -> Manifest:
        """Reads the manifest.

        Raises:
            BundleError: there is no bundle, it was written by a newer program, or its manifest is
                damaged.
        """
        path = self.path / MANIFEST
        try:
            return Manifest.from_json(path.read_bytes(), origin=str(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleError(
                f"There is no bundle at {self.path}; expected a directory with {MANIFEST} that "
                "pipelines.bundle made."
            ) from error

    def consistently(self, act: Callable[[Manifest], _Result]) -> _Result:
        """Does something with the manifest's files, again if a change took them away meanwhile.

        Raises:
            BundleError: that of `act`, where the manifest is still the same.
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
            BundleError: its file is missing or is not what was stored.
        """
        return load_universal(self._whole(UNIVERSAL, self.read().universal, _NETWORK))

    def task(self, name: str, entry: Entry, universal: Universal) -> Tailored:
        """Loads a task of the manifest over the bundle's universal network.

        Raises:
            BundleError: its pack is missing or is not what was stored.
            task_pack.TaskPackError: `universal` is another network.
        """
        path = self._whole(PACKS, entry, f"the task pack of {name}")
        return dataclasses.replace(load_task_pack(path, universal), name=name)

    def load(self) -> dict[str, Tailored]:
        """Loads all tasks by name; the universal kernels are in memory once.

        Raises:
            BundleError: a file is missing or is not what was stored.
        """
        universal = self.universal()
        return self.consistently(
            lambda manifest: {
                name: self.task(name, entry, universal) for name, entry in manifest.tasks.items()
            }
        )

    def describe(self) -> dict[str, Description]:
        """Says what the tasks are, by name; compares nothing with what was stored.

        Raises:
            BundleError: there is no bundle.
            weights.WeightsError: a task pack is missing or cannot be read.
        """
        found = {}
        for name, entry in self.read().tasks.items():
            metadata = weights.read_metadata(self._file(PACKS, entry))
            architecture = Architecture.from_dict(metadata["architecture"])
            found[name] = Description(tuple(metadata["classes"]), architecture, entry.bytes)
        return found

    def add(self, pack: Pack) -> Manifest:
        """Adds a task.

        Raises:
            BundleError: there is no bundle, it has a task of that name, or its universal network is
                another one.
            locks.InUseError: another process is changing it.
        """
        self.read()  # before the lock, which would make a directory
        with locks.locked(self.path):
            manifest = self._with(self.read(), pack)
            self._write(PACKS, pack.content)
            return self._publish(manifest)

    def remove(self, name: str) -> Manifest:
        """Removes a task.

        Raises:
            BundleError: there is no such task, or no other one.
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
                    f"{name} is the last task of {self.path}; a bundle has one at least. Add "
                    "another one first, or delete the directory."
                )
            rest = {task: entry for task, entry in manifest.tasks.items() if task != name}
            return self._publish(dataclasses.replace(manifest, tasks=rest))

    def verify(self) -> Manifest:
        """Reads every file and compares it with the manifest.

        Raises:
            BundleError: names every file that is missing or is not what was stored.
        """

        def check(manifest):
            problems = list(self._problems(manifest))
            if problems:
                raise BundleError(
                    f"{self.path} is damaged: {'; '.join(problems)}. Remove damaged tasks and add "
                    "them again; with another universal network, create the bundle anew."
                )
            return manifest

        return self.consistently(check)

    def _problems(self, manifest: Manifest) -> Iterator[str]:
        try:
            tensors, _ = weights.read(self._whole(UNIVERSAL, manifest.universal, _NETWORK))
            own = {key: value for key, value in tensors.items() if not keys.is_classifier(key)}
            if weights.checksum(own) != manifest.fingerprint:
                yield f"{_NETWORK} is not the one that {MANIFEST} says"
        except TailorError as error:
            yield str(error).rstrip(".")
        for name, entry in manifest.tasks.items():
            what = f"the task pack of {name}"
            try:
                belongs_to = weights.read_metadata(self._whole(PACKS, entry, what))["universal"]
                if belongs_to["fingerprint"] != manifest.fingerprint:
                    yield f"{what} belongs to another universal network"
            except TailorError as error:
                yield str(error).rstrip(".")

    def _file(self, folder: str, entry: Entry) -> pathlib.Path:
        return self.path / folder / f"{entry.sha256}.safetensors"

    def _whole(self, folder: str, entry: Entry, what: str) -> pathlib.Path:
        """The path of a file that holds what was stored."""
        path = self._file(folder, entry)
        try:
            size = path.stat().st_size
            with open(path, "rb") as file:
                received = hashlib.file_digest(file, "sha256").hexdigest()
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
        with replacing(self._file(folder, Entry.of(content))) as temporary:
            temporary.write_bytes(content)

    def _with(self, manifest: Manifest, pack: Pack) -> Manifest:
        """The manifest with one more task."""
        tailored = pack.tailored
        if tailored.universal.fingerprint != manifest.fingerprint:
            raise BundleError(
                f"{tailored.name} belongs to another universal network, of fingerprint "
                f"{tailored.universal.fingerprint[:16]}; that of {self.path} has "
                f"{manifest.fingerprint[:16]}."
            )
        if tailored.name in manifest.tasks:
            raise BundleError(
                f"{self.path} has a task {tailored.name} already; give the new one another name, "
                "or remove the old one."
            )
        tasks = {**manifest.tasks, tailored.name: Entry.of(pack.content)}
        return dataclasses.replace(manifest, tasks=tasks)

    def _publish(self, manifest: Manifest) -> Manifest:
        """Makes a manifest the one that counts and removes what it does not name."""
        write_text(self.path / MANIFEST, manifest.to_json())
        named = {self._file(UNIVERSAL, manifest.universal)}
        named |= {self._file(PACKS, entry) for entry in manifest.tasks.values()}
        for folder in (UNIVERSAL, PACKS):
            for path in (self.path / folder).iterdir():
                if path not in named and _LEFTOVER.fullmatch(path.name):
                    path.unlink()
        for path in self.path.glob(f".{MANIFEST}.*"):
            path.unlink()
        return manifest


def _encoded(universal: Universal) -> bytes:
    """The file of a universal network, in half precision if it is the same network then."""
    arrays = weights.arrays(universal.model).values()
    with np.errstate(over="ignore"):
        same = all(np.array_equal(a.astype(np.float16).astype(a.dtype), a) for a in arrays)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / UNIVERSAL
        save_universal(path, universal.graph, universal.model, "float16" if same else "float32")
        return path.read_bytes()
