"""Folders of splits: their names, other folders beside them, and classes named like splits."""

import logging
from pathlib import Path

import pytest

from tailor_tf.data.errors import DataError
from tailor_tf.data.split_folders import split_folders

VALIDATION = ["val", "valid", "dev", "eval", "validation", "VAL", "Valid", "DEV", "Validation"]


def found(root: Path, *folders: str) -> dict[str, str]:
    """The folders of splits below a new root, which has class folders with a file in each."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "000.png").touch()
    return {split: str(path.relative_to(root)) for split, path in split_folders(root).items()}


@pytest.mark.parametrize(
    "name", [f(v) for v in VALIDATION for f in (str.lower, str.upper, str.title)]
)
def test_names_of_validation(tmp_path: Path, name: str):
    splits = found(tmp_path, "Train/a", "Train/b", f"{name}/a", f"{name}/b", "TEST/a", "TEST/b")
    assert splits == {"train": "Train", "validation": name, "test": "TEST"}


@pytest.mark.parametrize("others", [["extra"], ["extra", "testing", "unlabelled", "z"]])
def test_other_folders_beside_splits_are_named(tmp_path: Path, caplog, others: list[str]):
    with caplog.at_level(logging.WARNING, logger="absl"):
        splits = found(tmp_path, "train/a", "train/b", "Test/a", "Test/b", *others)
    assert set(splits) == {"train", "test"}
    assert "are not used: beside the splits Test, train, expected no other folders" in caplog.text
    assert all(str(tmp_path / name) in caplog.text for name in others[:3])
    assert ("1 more" in caplog.text) == (len(others) > 3)


@pytest.mark.parametrize(
    "folders",
    [["bus", "car", "train"], ["bus", "test"], ["Train", "test", "val", "x"], ["a", "dev", "eval"]],
)
def test_classes_named_like_splits(tmp_path: Path, folders: list[str]):
    assert found(tmp_path, *folders) == {"train": "."}


def test_classes_named_like_splits_in_splits(tmp_path: Path):
    assert found(tmp_path, "train/bus", "train/train", "train/val") == {"train": "train"}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/a", "val/a", "Valid/a"], "folders Valid and val for the split 'validation'"),
        (["train/a", "test/a", "TEST/a"], "folders TEST and test for the split 'test'"),
        (["bus", "test/a"], "has test but no train"),
        (["eval/a", "x/a"], "has validation but no train"),
    ],
)
def test_splits_that_cannot_be(tmp_path: Path, folders: list[str], message: str):
    with pytest.raises(DataError, match=message):
        found(tmp_path, *folders)
