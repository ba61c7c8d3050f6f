"""Serving files, and the client against the loaded SavedModel over real loopback connections."""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import socket
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from PIL import Image
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from export.metadata import ArtifactError, Metadata
from export.saved_model import single as saved_model
from export.serving import client
from export.serving import configuration as serving
from tailor_tf.data import Preprocessing
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.network.architecture import Architecture
from tests.helpers import random_student

CLASSES = ("ant", "bee", "cow", "dog")
SIDE = 8
METADATA = Metadata("animals", CLASSES, Preprocessing(SIDE, (0.5,) * 3, (0.25,) * 3, True, 1))


@pytest.fixture(scope="module")
def model(small, tmp_path_factory):
    """A SavedModel, as version 1 of `animals`."""
    architecture = Architecture.full(4, 2)
    student = random_student(small, architecture, np.random.default_rng(0), len(CLASSES))
    folder = tmp_path_factory.mktemp("serving") / "animals" / "1"
    saved_model.save(folder, fold(compact(student, small.graph, architecture)), METADATA)
    serving.write_warm_up(folder, "animals", np.full((SIDE, SIDE, 3), 100, np.uint8))
    serving.write_configurations(folder.parents[1])
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twenty images in a folder of folders, and something that is none."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for index in range(20):
        side = SIDE if index % 2 else 3 * SIDE
        path = folder / str(index % 3) / f"{index:02}.{'jpg' if index % 5 == 0 else 'png'}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def signatures(model):
    loaded = tf.saved_model.load(str(model))
    yield {**loaded.signatures, "cats_encoded": _cats}
    del loaded


def _cats(encoded):
    """What another task of the same model answers."""
    count = len(encoded)
    return {
        "class_name": tf.constant(["tabby"] * count),
        "scores": tf.constant([[0.25, 0.75]] * count),
    }


class _Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Stands where TensorFlow Serving's binary cannot be installed."""

    def __init__(self, signatures):
        self.signatures = signatures

    def Predict(self, request, context):  # noqa: N802
        if request.model_spec.name != "animals":
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
        inputs = {
            name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()
        }
        try:
            outputs = self.signatures[request.model_spec.signature_name](**inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        response = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response


@pytest.fixture(scope="module")
def grpc_address(signatures):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _Servicer(signatures), server
    )
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield f"localhost:{port}"
    server.stop(0)


@pytest.fixture(scope="module")
def rest_url(signatures):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            contents = [base64.b64decode(i["encoded"]["b64"]) for i in body["instances"]]
            if self.path != "/v1/models/animals:predict":
                return self.answer(404, {"error": "Servable not found"})
            try:
                outputs = signatures[body["signature_name"]](encoded=tf.constant(contents))
            except tf.errors.InvalidArgumentError as error:
                return self.answer(400, {"error": error.message})
            rows = zip(outputs["class_name"].numpy(), outputs["scores"].numpy(), strict=True)
            predictions = [{"class_name": n.decode(), "scores": s.tolist()} for n, s in rows]
            return self.answer(200, {"predictions": predictions})

        def answer(self, status, content):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


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
        assert reason == "Received 5 bytes that are no JPEG or PNG image."

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


def _message(text, name):
    """An empty message of a type that is described as `FileDescriptorProto`, text format."""
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()


def _batching():
    """`tensorflow.serving.BatchingParameters` of session_bundle_config.proto."""
    numbers = (
        "max_batch_size",
        "batch_timeout_micros",
        "max_enqueued_batches",
        "num_batch_threads",
    )
    fields = "".join(
        f'field {{ name: "{name}" number: {number} label: LABEL_OPTIONAL type: TYPE_MESSAGE '
        'type_name: ".google.protobuf.Int64Value" }'
        for number, name in enumerate(numbers, start=1)
    )
    text = (
        'name: "batching.proto" package: "tensorflow.serving" syntax: "proto3" '
        'dependency: "google/protobuf/wrappers.proto" '
        f'message_type {{ name: "BatchingParameters" {fields} }}'
    )
    return _message(text, "tensorflow.serving.BatchingParameters")


def _monitoring():
    """`tensorflow.serving.MonitoringConfig` of monitoring_config.proto."""
    text = """
        name: "monitoring.proto" package: "tensorflow.serving" syntax: "proto3"
        message_type {
          name: "PrometheusConfig"
          field { name: "enable" number: 1 label: LABEL_OPTIONAL type: TYPE_BOOL }
          field { name: "path" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
        }
        message_type {
          name: "MonitoringConfig"
          field {
            name: "prometheus_config" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: ".tensorflow.serving.PrometheusConfig"
          }
        }
    """
    return _message(text, "tensorflow.serving.MonitoringConfig")


class TestServingFiles:
    def test_models_are_listed(self, model):
        text = (model.parents[1] / "models.config").read_text()
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        (entry,) = config.model_config_list.config
        assert (entry.name, entry.base_path) == ("animals", "/models/animals")
        assert entry.model_platform == "tensorflow"

    def test_batching_and_monitoring_are_what_the_server_reads(self, model):
        """Against TF Serving's own definitions of these messages, which its package leaves out."""
        folder = model.parents[1]
        batching = text_format.Parse((folder / "batching.config").read_text(), _batching())
        assert batching.max_batch_size.value == serving.MAX_BATCH
        assert batching.batch_timeout_micros.value > 0
        monitoring = text_format.Parse((folder / "monitoring.config").read_text(), _monitoring())
        assert monitoring.prometheus_config.enable
        assert monitoring.prometheus_config.path.startswith("/monitoring")

    def test_warm_up_replays(self, model, signatures):
        records = tf.data.TFRecordDataset(str(model / serving.WARM_UP))
        seen = set()
        for record in records.as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            assert request.model_spec.name == "animals"
            inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
            outputs = signatures[request.model_spec.signature_name](**inputs)
            seen.add((request.model_spec.signature_name, outputs["logits"].shape[0]))
        names = ("serving_default", "encoded_images")
        assert seen == {(name, batch) for name in names for batch in (1, serving.MAX_BATCH)}

    def test_what_a_person_changed_is_kept(self, model):
        folder = model.parents[1]
        (folder / "batching.config").write_text("max_batch_size { value: 7 }\n")
        (folder / "plants").mkdir()
        serving.write_configurations(folder)
        assert "7" in (folder / "batching.config").read_text()
        assert "plants" in (folder / "models.config").read_text()
        (folder / "plants").rmdir()

    def test_compose_file_names_what_is_there(self, model):
        folder = model.parents[1]
        lines = (folder / "compose.yaml").read_text().split()
        for line in lines:
            if "=/models/" in line:
                assert (folder / line.partition("=/models/")[2]).exists()
