"""Files and folders that the client is given: the training's rules, and one refusal per file."""

import logging
import os
import pathlib

import numpy as np
import pytest

from export.metadata import ArtifactError
from export.serving import client

SUFFIXES = ("jpg", "JPEG", "png", "bmp", "gif", "webp")


def classifier(images):
    """Answers with the length of each file."""
    assert all(isinstance(image, bytes) and image for image in images)
    return [client.Answer(str(len(image)), 1.0) for image in images]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with an image of each format, and much that is none."""
    for index, suffix in enumerate(SUFFIXES):
        path = tmp_path / "b" / str(index % 2) / f"{index}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (index + 1))
    (tmp_path / "b/._0.jpg").write_bytes(b"x")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/a.jpg").write_bytes(b"x")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "b/movie.mp4").touch()
    return tmp_path


def test_the_rules_of_the_training(folder, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        found = client.image_files([folder])
    assert sorted(path.name for path in found) == [f"{i}.{s}" for i, s in enumerate(SUFFIXES)]
    assert found == sorted(found)
    assert "Skipped 2 file(s)" in caplog.text
    assert "1 .mp4 (movie.mp4), 1 .txt (notes.txt)" in caplog.text


def test_one_refusal_for_each_bad_file(folder):
    (folder / "a.jpg").symlink_to("nowhere.jpg")
    (folder / "c.jpg").mkdir()
    (folder / "c.jpg/inside.png").write_bytes(b"123456789")
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe.png")
    found = dict(client.classify(client.image_files([folder]), classifier))
    refused = {path.name: str(a) for path, a in found.items() if not isinstance(a, client.Answer)}
    assert refused == {"a.jpg": "No such file or directory.", "empty.png": "The file is empty."}
    assert found[folder / "c.jpg/inside.png"].class_name == "9"
    assert len(found) == len(SUFFIXES) + 3


def test_files_that_are_named(folder):
    """Whatever they are called; a pipe is not opened, and a link may lead nowhere."""
    (folder / "lost").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "photo").write_bytes(b"12")
    files = client.image_files([folder / name for name in ("lost", "pipe", "photo")])
    lost, pipe, photo = (answer for _, answer in client.classify(files, classifier))
    assert (str(lost), str(pipe)) == ("No such file or directory.", "This is no file.")
    assert photo == client.Answer("2", 1.0)


@pytest.mark.parametrize("name", [b"caf\xe9.png", "caf\u00e9.png".encode(), b"a\nb.png"])
def test_names_of_any_bytes(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"123")
    ((found, answer),) = client.classify(client.image_files([tmp_path]), classifier)
    assert (found, answer) == (path, client.Answer("3", 1.0))


def test_a_file_that_disappears_is_refused(folder):
    files = client.image_files([folder])
    files[2].unlink()
    answers = [answer for _, answer in client.classify(files, classifier)]
    gone = [index for index, a in enumerate(answers) if not isinstance(a, client.Answer)]
    assert (gone, len(answers)) == ([2], len(SUFFIXES))


def test_order_is_kept_among_refusals(tmp_path):
    """More files than a request has, some of which the classifier refuses."""

    def strict(images):
        if any(image == b"bad" for image in images):
            raise client.RefusedError("It is bad.")
        return classifier(images)

    expected = []
    for index in range(40):
        content = [b"good", b"bad", b""][index % 7 if index % 7 < 3 else 0]
        (tmp_path / f"{index:02}.png").write_bytes(content)
        expected.append({b"good": "4", b"bad": "It is bad.", b"": "The file is empty."}[content])
    found = client.classify(client.image_files([tmp_path]), strict)
    said = [a.class_name if isinstance(a, client.Answer) else str(a) for _, a in found]
    assert said == expected


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ArtifactError, match=r"holds no image; expected \.jpg, \.jpeg, .*\.webp"):
        client.image_files([tmp_path])


def test_ranking():
    scores = tuple(np.random.default_rng(0).permutation(10) / 45)
    names = tuple("abcdefghij")
    answer = client.Answer("?", 0.2, scores, names)
    order = sorted(zip(scores, names, strict=True), reverse=True)
    for count in (1, 3, 10, 20):
        assert answer.ranking(count) == [(name, score) for score, name in order[:count]]
    assert client.Answer("a", 0.5).ranking(3) == [("a", 0.5)]
