"""The client against the loaded SavedModel over real loopback connections."""

import contextlib
import shutil
import socket

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from export.metadata import ArtifactError
from export.serving import client
from tailor_tf.support.versions import RECORD, Versions

SIDE = 8


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twenty images in a folder of folders, and something that is none."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for index in range(20):
        side = SIDE if index % 2 else 3 * SIDE
        path = folder / str(index % 3) / f"{index:02}.{'jpg' if index % 5 == 0 else 'png'}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, SIDE, 3), np.uint8)).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def expected(signatures, files):
    """Answers of the SavedModel itself, one image at a time."""
    answers = {}
    for path in client.image_files([files]):
        output = signatures["encoded_images"](encoded=tf.constant([path.read_bytes()]))
        answers[path] = output["class_name"][0].numpy().decode(), float(max(output["scores"][0]))
    return answers


def _same(found, expected):
    assert [path for path, _ in found] == list(expected)
    for path, answer in found:
        name, score = expected[path]
        assert answer.class_name == name
        assert answer.score == pytest.approx(score, rel=1e-4)


@pytest.fixture
def huge_png():
    """The header of a PNG file with a pixel a side more than are decoded."""
    side = (8193).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + side * 2 + b"\x08\x02\0\0\0" + b"\0" * 50


@pytest.fixture
def classifier(kind, model, grpc_address, rest_url):
    """The client of a kind: "grpc", "rest" or "local"."""
    make = {
        "grpc": lambda: client.grpc(grpc_address, "animals"),
        "rest": lambda: client.rest(rest_url, "animals"),
        "local": lambda: client.local(model),
    }
    return make[kind]()


class TestClient:
    @pytest.mark.parametrize("kind", ["grpc", "rest", "local"])
    def test_answers(self, classifier, files, expected):
        assert len(expected) == 20
        _same(list(client.classify(client.image_files([files]), classifier)), expected)

    @pytest.mark.parametrize("kind", ["grpc", "rest", "local"])
    def test_bad_files_do_not_harm_the_others(self, classifier, files, expected, tmp_path):
        (tmp_path / "empty.png").touch()
        (tmp_path / "text.jpg").write_text("hello")
        good = next(iter(expected))
        paths = [tmp_path / "empty.png", good, tmp_path / "text.jpg"]
        found = dict(client.classify(paths, classifier))
        assert found[good].class_name == expected[good][0]
        assert str(found[tmp_path / "empty.png"]) == "The file is empty."
        reason = str(found[tmp_path / "text.jpg"])
        assert reason == "Received 5 bytes that are no JPEG, PNG, BMP, GIF or WebP image."

    def test_long_requests_are_split(self, files, monkeypatch):
        requests = []

        def classifier(images):
            requests.append(images)
            return [client.Answer("a", 1.0)] * len(images)

        paths = client.image_files([files])
        monkeypatch.setattr(client, "MAX_REQUEST", 3 * max(p.stat().st_size for p in paths))
        assert len(list(client.classify(paths, classifier))) == 20
        sizes = [sum(map(len, request)) for request in requests]
        assert max(sizes) <= client.MAX_REQUEST
        assert len(requests) < 20

    def test_a_request_holds_a_limited_number_of_images(self, tmp_path):
        requests = []

        def classifier(images):
            requests.append(len(images))
            return [client.Answer("a", 1.0)] * len(images)

        paths = [tmp_path / f"{index:02}.png" for index in range(40)]
        for path in paths:
            path.write_bytes(b"x")
        assert [path for path, _ in client.classify(paths, classifier)] == paths
        assert requests == [16, 16, 8]
        assert client.BATCH == 16 and client.MAX_REQUEST == 3 << 20

    @pytest.mark.parametrize("kind", ["grpc", "rest", "local"])
    def test_an_image_of_too_many_pixels_is_refused(self, classifier, huge_png, tmp_path):
        (tmp_path / "huge.png").write_bytes(huge_png)
        ((_, answer),) = client.classify([tmp_path / "huge.png"], classifier)
        assert isinstance(answer, client.RefusedError)
        assert str(answer) == (
            "Received an image of 8193x8193 pixels; expected at most --max_pixels=67108864, scaled "
            "or not."
        )

    def test_no_server(self, files):
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        paths = client.image_files([files])[:1]
        for classifier in (
            client.grpc(f"localhost:{port}", "animals"),
            client.rest(f"http://localhost:{port}", "animals"),
        ):
            with pytest.raises(ArtifactError, match="Is TensorFlow Serving running there"):
                list(client.classify(paths, classifier))

    @pytest.mark.parametrize("make", [client.grpc, client.rest])
    def test_one_of_many_tasks_is_asked_by_its_signature(self, make, grpc_address, rest_url, files):
        place = grpc_address if make is client.grpc else rest_url
        (path, *_) = client.image_files([files])
        found = list(client.classify([path], make(place, "animals", task="cats")))
        assert found == [(path, client.Answer("tabby", 0.75))]

    def test_unknown_model(self, grpc_address, rest_url, files):
        paths = client.image_files([files])[:1]
        for classifier in (client.grpc(grpc_address, "plants"), client.rest(rest_url, "plants")):
            with pytest.raises(ArtifactError, match=r"plants.*not found"):
                list(client.classify(paths, classifier))

    def test_files(self, files, tmp_path):
        assert client.image_files([files / "notes.txt"]) == [files / "notes.txt"]
        with pytest.raises(ArtifactError, match="no file"):
            client.image_files([tmp_path / "missing.png"])
        with pytest.raises(ArtifactError, match="holds no image"):
            client.image_files([tmp_path])

    @pytest.mark.parametrize(
        ("place", "recorded", "warned"),
        [("given", True, True), ("serving/animals", False, True), ("serving/animals", True, False)],
    )
    def test_a_savedmodel_of_somebody_else_is_loaded_with_a_warning(
        self, place, recorded, warned, model, tmp_path, caplog
    ):
        path = Versions(tmp_path / place).publish(
            lambda content: shutil.copytree(model, content, dirs_exist_ok=True), keep=1
        )
        if not recorded:
            (path / RECORD).unlink()
        with caplog.at_level("WARNING"):
            client.local(path)
        assert ("runs it when it is loaded" in caplog.text) == warned
