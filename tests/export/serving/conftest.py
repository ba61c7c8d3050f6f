"""A SavedModel of a small network, and servers of it over loopback connections."""

import base64
import concurrent.futures
import http.server
import json
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from export.saved_model import requests
from export.saved_model import single as saved_model
from export.serving import configuration
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.network.architecture import Architecture
from tests.builders import random_student

SIDE = 8
INFO = TaskInfo(
    "animals",
    ("ant", "bee", "cow", "dog"),
    Preprocessing(SIDE, (0.5,) * 3, (0.25,) * 3, flip=True, crop_padding=1, fit="pad"),
)


@pytest.fixture(scope="module")
def model(small, tmp_path_factory):
    """A SavedModel, as version 1 of `animals`."""
    rng = np.random.default_rng(0)
    student = random_student(small, Architecture.full(4, 2), rng, INFO.num_classes)
    folder = tmp_path_factory.mktemp("serving") / "animals" / "1"
    saved_model.save(folder, fold(compact(student)), INFO)
    requests.write_warm_up(folder, "animals", np.full((SIDE, SIDE, 3), 100, np.uint8))
    configuration.write_configurations(folder.parents[1])
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
