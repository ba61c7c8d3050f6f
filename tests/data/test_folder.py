"""Image folders: their layouts and what can be wrong with them."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tailor_tf.data.errors import DataError
from tailor_tf.data.folder import load_folder
from tailor_tf.data.sources import load_task
from tailor_tf.data.square import Square

COMPLETE = {
    f"{split}/{name}": count
    for split, count in [("train", 4), ("validation", 3), ("test", 2)]
    for name in ("cat", "dog")
}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_complete_folder_is_taken_as_it_is(make_folder):
    root = make_folder(COMPLETE)
    task = load_task(f"folder:{root}", image_size=8)
    assert (task.name, task.classes, task.num_classes) == (root.name, ("cat", "dog"), 2)
    assert task.train.labels.tolist() == [0] * 4 + [1] * 4
    assert task.train.labels.dtype == np.int32
    assert (len(task.validation), len(task.test)) == (3 * 2, 2 * 2)
    np.testing.assert_array_equal(task.test.images[3], pixels(root / "test/dog/001.png"))
    assert task.preprocessing.flip
    assert task.preprocessing.crop_padding == 8 // 8


def test_missing_splits_are_cut_out_of_train(make_folder):
    root = make_folder({"train/cat": 20, "train/dog": 40, "test/cat": 1, "test/dog": 1})
    task = load_task(f"folder:{root}", image_size=8, validation_fraction=0.25)
    assert np.bincount(task.validation.labels).tolist() == [20 * 0.25, 40 * 0.25]
    assert np.bincount(task.train.labels).tolist() == [20 * 0.75, 40 * 0.75]
    assert len(task.test) == 1 * 2


def test_class_folders_alone_are_all_training_images(make_folder):
    root = make_folder({"cat": 10, "dog": 10})
    task = load_task(f"folder:{root}", image_size=8)
    assert (len(task.train), len(task.validation), len(task.test)) == (2 * 6, 2 * 2, 2 * 2)


def test_no_test_split_on_request(make_folder):
    task = load_task(f"folder:{make_folder({'cat': 4, 'dog': 4})}", image_size=8, test_fraction=0)
    assert task.test is None


def test_short_name_of_validation(make_folder):
    root = make_folder({f"{split}/{name}": 2 for split in ("train", "val") for name in "ab"})
    _, splits = load_folder(str(root), Square(8))
    assert set(splits) == {"train", "validation"}


def test_home_folder(make_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(make_folder(COMPLETE)))
    assert load_folder("~", Square(8))[0] == ("cat", "dog")


def test_classes_are_sorted_as_text(make_folder):
    root = make_folder({"10": 1, "9": 1, "1": 1})
    assert load_folder(str(root), Square(8))[0] == ("1", "10", "9")


def test_images_are_resized(make_folder):
    root = make_folder({"cat": 1, "dog": 1}, size=(20, 12), suffix="JPG")
    _, splits = load_folder(str(root), Square(6))
    assert splits["train"].images.shape == (2, 6, 6, 3)


def test_other_files_are_skipped_and_counted(make_folder, caplog):
    root = make_folder({"cat": 2, "dog": 2})
    for name in ("cat/notes.txt", "cat/Thumbs.db", "dog/.DS_Store"):
        (root / name).write_text("no image")
    (root / ".cache").mkdir()
    with caplog.at_level(logging.WARNING, logger="absl"):
        classes, splits = load_folder(str(root), Square(8))
    assert (classes, len(splits["train"])) == (("cat", "dog"), 4)
    assert "Skipped 2 file(s)" in caplog.text
    assert "notes.txt" in caplog.text


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"elsewhere/a": 1}, "does not exist; expected a folder with train/<class>/<image>"),
        ({"root/test/a": 1, "root/test/b": 1}, "has test but no train"),
        ({"root/train": 2}, "has no class folders; expected at least two"),
        ({"root/train/a": 2}, "has the single class 'a'; expected at least two"),
        ({"root/a": 2, "root/b": 0}, r"b has no images; it holds nothing\. Expected files ending"),
        (
            {"root/train/a": 1, "root/train/b": 1, "root/test/a": 1, "root/test/c": 1},
            "Split 'test' has other classes than 'train': missing b, unknown c",
        ),
    ],
)
def test_wrong_layouts(make_folder, layout: dict[str, int], message: str):
    with pytest.raises(DataError, match=message):
        load_folder(str(make_folder(layout) / "root"), Square(8))


def test_path_of_a_file(tmp_path: Path):
    (tmp_path / "images.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"images\.zip is a file; expected a folder"):
        load_folder(str(tmp_path / "images.zip"), Square(8))


def test_images_one_level_too_deep(make_folder):
    root = make_folder({"a/images": 2, "b/images": 2})
    with pytest.raises(
        DataError, match=r"a has no images; it holds 1 folder \(images\)\. .* directly"
    ):
        load_folder(str(root), Square(8))


def test_class_with_one_image(make_folder):
    with pytest.raises(DataError, match=r"'dog' has 1 training image\(s\).*validation, test"):
        load_task(f"folder:{make_folder({'cat': 5, 'dog': 1})}", image_size=8)


@pytest.mark.parametrize("contents", [b"", b"\xff\xd8\xff no image", b"plain text"])
def test_unreadable_image_is_named(make_folder, contents: bytes):
    root = make_folder({"cat": 3, "dog": 3})
    (root / "dog/001.png").write_bytes(contents)
    with pytest.raises(DataError, match=r"Cannot decode .*dog/001\.png"):
        load_folder(str(root), Square(8))
