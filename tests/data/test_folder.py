"""Image folders: their layouts and what can be wrong with them."""

import logging
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tailor_tf.data import folder
from tailor_tf.data.errors import DataError
from tailor_tf.data.folder import load_folder
from tailor_tf.data.sources import load_task
from tailor_tf.data.square import Square
from tests.data.encodings import png

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


def test_names_of_classes_are_compared_in_one_form(make_folder):
    """Archives of macOS hold an accent as a character of its own."""
    composed, apart = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    zebra = "caff"  # between the two forms, so that they have another order
    layout = {f"train/{apart}": 1, f"train/{zebra}": 2, f"test/{composed}": 3, f"test/{zebra}": 4}
    classes, splits = load_folder(str(make_folder(layout)), Square(8))
    assert classes == (apart, zebra)
    assert np.bincount(splits["train"].labels).tolist() == [1, 2]
    assert np.bincount(splits["test"].labels).tolist() == [3, 4]


def test_two_forms_of_one_class_are_refused(make_folder):
    names = [unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")]
    with pytest.raises(DataError, match="two class folders named caf"):
        load_folder(str(make_folder(dict.fromkeys(names, 2))), Square(8))


def test_a_class_name_that_is_not_text_is_refused(make_folder):
    name = os.fsdecode(b"caf\xe9")
    with pytest.raises(DataError, match=r"is not UTF-8; expected text.*Rename the folder"):
        load_folder(str(make_folder({name: 2, "tea": 2})), Square(8))


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


def test_what_is_skipped_is_counted_by_kind(make_folder, caplog):
    root = make_folder({"cat": 2, "dog": 2})
    for name in (
        "cat/notes.txt",
        "cat/more.TXT",
        "cat/Thumbs.db",
        "dog/.DS_Store",
        "dog/._000.png",
    ):
        (root / name).write_text("no image")
    (root / "cat/x.jpg").mkdir()
    (root / "cat/lost.png").symlink_to("nowhere.png")
    (root / "README").touch()
    os.mkfifo(root / "dog/pipe.jpg")
    (root / ".cache").mkdir()
    (root / "__MACOSX").mkdir()
    with caplog.at_level(logging.WARNING, logger="absl"):
        classes, splits = load_folder(str(root), Square(8))
    assert (classes, len(splits["train"])) == (("cat", "dog"), 4)
    assert "Skipped 7 file(s) or folder(s)" in caplog.text
    for kind in (
        "2 .txt (more.TXT, notes.txt)",
        "1 .db (Thumbs.db)",
        "1 folder (x.jpg)",
        "1 broken link (lost.png)",
        "1 without ending (README)",
        "1 device or pipe (pipe.jpg)",
    ):
        assert kind in caplog.text


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"elsewhere/a": 1}, "does not exist; expected a folder with train/<class>/<image>"),
        ({"root/test/a": 1, "root/test/b": 1}, "has test but no train"),
        ({"root/train": 2}, "has no class folders; expected at least two"),
        ({"root/train": 2, "root/test": 2}, "test has no class folders; expected at least two"),
        (
            {f"root/{split}/{name}": 1 for split in ("train", "val", "Valid") for name in "ab"},
            "folders Valid and val for the split 'validation'; expected one",
        ),
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


def broken_folder(make_folder, count: int) -> Path:
    """A folder of three splits of two classes, each class with broken images."""
    root = make_folder({f"{split}/{name}": count + 2 for split in SPLITS for name in "ab"})
    for path in sorted(root.rglob("*.png")):
        if int(path.stem) < count:
            path.write_bytes([b"", b"text", b"\x89PNG\r\n\x1a\n"][int(path.stem) % 3])
    return root


@pytest.fixture(params=["in memory", "in their files"])
def place(request, monkeypatch):
    """Where the images are: within and beyond the memory budget."""
    if request.param == "in their files":
        monkeypatch.setattr(folder, "MEMORY_BUDGET", 0)


SPLITS = ("train", "validation", "test")


def test_broken_images_of_all_splits_are_refused_at_once(make_folder, place):
    root = broken_folder(make_folder, 4)
    message = (
        rf"Cannot decode 24 of 36 images: {root}/test/a/000\.png: The file is empty;"
        rf" {root}/test/a/001\.png: Received 4 bytes that are no JPEG.*;"
        rf" {root}/test/a/002\.png: Invalid PNG.*; and 21 more\. .*--skip_broken"
    )
    with pytest.raises(DataError, match=message):
        load_folder(str(root), Square(8))


def test_broken_images_are_left_out(make_folder, place, caplog):
    root = broken_folder(make_folder, 4)
    with caplog.at_level(logging.WARNING, logger="absl"):
        _, splits = load_folder(str(root), Square(8), skip_broken=True)
    assert "Left out 24 of 36 images" in caplog.text
    for name in SPLITS:
        whole = [root / name / c / f"{n:03}.png" for c in "ab" for n in (4, 5)]
        assert splits[name].labels.tolist() == [0, 0, 1, 1]
        found = splits[name].images[np.arange(4)]
        np.testing.assert_array_equal(found, np.stack([pixels(path) for path in whole]))


@pytest.mark.parametrize("place", ["in their files"], indirect=True)
def test_images_that_are_known_to_be_whole_are_not_looked_at_again(make_folder, place, monkeypatch):
    root = make_folder({"train/a": 2, "train/b": 2, "test/a": 1, "test/b": 1})
    _, splits = load_folder(str(root), Square(8))
    known = {name: split.fingerprint for name, split in splits.items()}
    looked = []

    def look(paths, square, *, progress):
        looked.append(len(paths))
        return {}

    monkeypatch.setattr(folder, "look_at_files", look)
    _, again = load_folder(str(root), Square(8), looked_at=known)
    assert not looked
    rows = np.arange(4)
    np.testing.assert_array_equal(again["train"].images[rows], splits["train"].images[rows])
    load_folder(str(root), Square(8), looked_at=known, skip_broken=True)
    load_folder(str(root), Square(8), looked_at={})
    (root / "test/a/000.png").write_bytes(b"")
    load_folder(str(root), Square(8), looked_at=known)
    assert looked == [2, 4] * 3


def test_a_class_of_broken_images_alone_is_refused(make_folder):
    root = make_folder({"a": 2, "b": 2})
    for path in (root / "b").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"No image of the class\(es\) b can be decoded"):
        load_folder(str(root), Square(8), skip_broken=True)


def test_a_huge_image_is_refused_before_it_is_decoded(make_folder):
    root = make_folder({"a": 2, "b": 2})
    (root / "a/000.png").write_bytes(png(np.zeros((1, 1, 3), np.uint8), side=30_000))
    message = (
        r"Cannot decode .*a/000\.png: Received an image of 30000x30000 pixels; expected at most"
    )
    with pytest.raises(DataError, match=message):
        load_folder(str(root), Square(8))


@pytest.mark.parametrize("contents", [b"", b"\xff\xd8\xff no image", b"plain text"])
def test_unreadable_image_is_named(make_folder, contents: bytes):
    root = make_folder({"cat": 3, "dog": 3})
    (root / "dog/001.png").write_bytes(contents)
    with pytest.raises(DataError, match=r"Cannot decode .*dog/001\.png"):
        load_folder(str(root), Square(8))
