"""Fingerprints: they change with the images of a class, and with nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tailor_tf.data import fingerprint
from tailor_tf.data.folder import load_folder
from tailor_tf.data.sources import load_task
from tailor_tf.data.square import Square

LAYOUT = {f"{split}/{name}": 3 for split in ("train", "test") for name in ("no", "yes")}


def prints(root: Path) -> dict[str, dict[str, str]]:
    _, splits = load_folder(str(root), Square(8))
    return {name: dict(split.fingerprint) for name, split in splits.items()}


def changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> set[str]:
    return {
        f"{split}/{name}"
        for split in before
        for name in before[split]
        if before[split][name] != after[split][name]
    }


def add(root: Path) -> None:
    shutil.copy(root / "test/no/000.png", root / "test/no/new.png")


def overwrite(root: Path) -> None:
    content = (root / "train/yes/002.png").read_bytes()
    (root / "train/yes/002.png").write_bytes(content + b"\0")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda root: None, set()),
        (lambda root: (root / "train/no/002.png").touch(), set()),
        (lambda root: (root / "train/no/002.png").unlink(), {"train/no"}),
        (lambda root: (root / "train/no/002.png").rename(root / "train/no/x.png"), {"train/no"}),
        (add, {"test/no"}),
        (overwrite, {"train/yes"}),
        (
            lambda root: (root / "train/no/002.png").rename(root / "train/yes/x.png"),
            {"train/no", "train/yes"},
        ),
    ],
)
def test_a_change_is_seen_in_its_class(make_folder, change, where):
    root = make_folder(LAYOUT)
    before = prints(root)
    change(root)
    assert changed(before, prints(root)) == where


@pytest.mark.parametrize(("limit", "where"), [(0, set()), (10**9, {"train/no", "train/yes"})])
def test_the_content_of_small_sets_is_looked_at(make_folder, monkeypatch, limit, where):
    """Two files of the same name and size are exchanged."""
    monkeypatch.setattr(fingerprint, "CONTENT_BYTES", limit)
    root = make_folder(LAYOUT, suffix="bmp")
    before = prints(root)
    one, other = root / "train/no/001.bmp", root / "train/yes/001.bmp"
    contents = one.read_bytes(), other.read_bytes()
    assert len(contents[0]) == len(contents[1]) and contents[0] != contents[1]
    other.write_bytes(contents[0]), one.write_bytes(contents[1])
    assert changed(before, prints(root)) == where


def test_a_copy_has_the_same_one(make_folder, tmp_path):
    root = make_folder({f"root/{name}": count for name, count in LAYOUT.items()}) / "root"
    shutil.copytree(root, tmp_path / "copy")
    assert prints(root) == prints(tmp_path / "copy")


def test_splits_that_are_cut_are_those_of_the_training_images(make_folder):
    root = make_folder({"no": 9, "yes": 9})
    settings = load_task(f"folder:{root}", image_size=8).settings()
    assert settings["images"] == {"train": 12, "validation": 2, "test": 4}
    assert set(settings["fingerprint"]) == {"train"}
    assert set(settings["fingerprint"]["train"]) == {"no", "yes"}


def test_labels_of_a_data_set():
    labels, classes = np.array([0, 1, 1, 0]), ("no", "yes", "maybe")
    found = fingerprint.of_labels(labels, classes, "set/1.0.0")
    assert found == fingerprint.of_labels(labels.astype(np.int32), classes, "set/1.0.0")
    other = fingerprint.of_labels(np.array([0, 1, 1, 1]), classes, "set/1.0.0")
    assert [name for name in classes if found[name] != other[name]] == ["no", "yes"]
    newer = fingerprint.of_labels(labels, classes, "set/1.0.1")
    assert all(found[name] != newer[name] for name in classes)


def test_built_in_images_have_none():
    assert "fingerprint" not in load_task("digits", image_size=8).settings()
