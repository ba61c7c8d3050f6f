"""The client in front of gRPC servers that answer wrongly, late, or not yet."""

import concurrent.futures
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.metadata import ArtifactError
from export.serving import client
from tests.export.serving.wrong_servers import (
    ask,
    message_of,
    raw_server,
)


def tensors(names=("bee",), scores=((0.25, 0.75),)):
    response = predict_pb2.PredictResponse()
    response.outputs["class_name"].CopyFrom(tf.make_tensor_proto(np.array(names, object)))
    response.outputs["scores"].CopyFrom(tf.make_tensor_proto(np.array(scores, np.float32)))
    return response


def _changed(**changes):
    response = tensors()
    for name, change in changes.items():
        change(response.outputs[name])
    return response


def _sides(*sides):
    def change(proto):
        del proto.tensor_shape.dim[:]
        for side in sides:
            proto.tensor_shape.dim.add().size = side

    return change


WRONG = {
    "nothing": predict_pb2.PredictResponse(),
    "too many": tensors(("a", "b"), ((1.0,), (1.0,))),
    "other numbers": tensors(("a",), ((1.0,), (1.0,))),
    "numbers for classes": _changed(class_name=lambda p: p.CopyFrom(tf.make_tensor_proto([1]))),
    "texts for scores": _changed(scores=lambda p: p.CopyFrom(tf.make_tensor_proto([["a"]]))),
    "no type": _changed(scores=lambda p: p.Clear()),
    "an unknown type": _changed(scores=lambda p: setattr(p, "dtype", 99)),
    "a vast tensor": _changed(scores=_sides(1, 2**40)),
    "vast sides": _changed(scores=_sides(1, 2**62, 2**62)),
    "negative sides": _changed(scores=_sides(1, -2)),
    "no sides": _changed(scores=_sides()),
    "other sides": _changed(scores=_sides(1, 5)),
    "unfit content": _changed(scores=lambda p: setattr(p, "tensor_content", b"123")),
    "nan": tensors(scores=((float("nan"), 0.5),)),
    "above one": tensors(scores=((7.0, 0.5),)),
}


class _Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, answer):
        self.answer = answer

    def Predict(self, request, context):  # noqa: N802
        return self.answer(context)


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, state):
        self.state = state

    def GetModelStatus(self, request, context):  # noqa: N802
        reply = get_model_status_pb2.GetModelStatusResponse()
        reply.model_version_status.add(version=1, state=self.state)
        return reply


@pytest.fixture
def serve():
    """From an answer, and perhaps a state of the model, to the address of a server."""
    servers = []

    def start(answer, state=None):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        add = prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server
        add(_Servicer(answer), server)
        if state is not None:
            model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(state), server)
        servers.append(server)
        port = server.add_insecure_port("localhost:0")
        server.start()
        return f"localhost:{port}"

    yield start
    for server in servers:
        server.stop(0)


class TestGRPC:
    @pytest.mark.parametrize("response", WRONG.values(), ids=WRONG)
    def test_a_wrong_reply_is_one_message(self, response, serve):
        address = serve(lambda _: response)
        said = message_of(client.grpc(address, "m"))
        assert said.startswith(f"{address} answers with ") and said.isprintable()

    def test_a_right_reply(self, serve):
        assert ask(client.grpc(serve(lambda _: tensors()), "m")) == [client.Answer("bee", 0.75)]

    def test_a_reply_of_more_than_the_limit(self, serve):
        scores = (0.0,) * 2**18
        address = serve(lambda _: tensors(scores=(scores,)))
        said = message_of(client.grpc(address, "m", max_reply=2**20))
        assert said.startswith(f"{address} answers with more than --max_reply=1 MiB; expected")
        (answer,) = ask(client.grpc(address, "m", max_reply=2**21))
        assert answer.scores == scores

    def test_a_request_of_more_than_the_limit_of_the_server(self, serve):
        details = "SERVER: Received message larger than max (9 vs. 4)"
        address = serve(lambda context: context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, details))
        said = message_of(client.grpc(address, "m"))
        assert details in said and "--max_reply" not in said

    def test_a_short_reply_of_many_scores(self, serve):
        """One value, repeated as often as the sides say."""
        response = tensors(scores=((0.5,),))
        response.outputs["scores"].tensor_shape.dim[1].size = 2**22 + 1
        assert "a tensor of sides [1, 4194305]" in message_of(
            client.grpc(serve(lambda _: response), "m")
        )

    def test_details_of_a_server_are_one_line(self, serve):
        def answer(context):
            context.abort(grpc.StatusCode.INTERNAL, "a\x1b[2J\nError: forged" + "x" * 5000)

        said = message_of(client.grpc(serve(answer), "m"))
        assert "INTERNAL, a\\x1b[2J Error: forged" in said
        assert said.isprintable() and len(said) < 500

    def test_a_server_without_an_answer(self, serve):
        address = serve(lambda _: time.sleep(2) or tensors())
        said = message_of(client.grpc(address, "m", timeout=0.5))
        assert said.startswith(f"{address} has not answered within 0.5 s")

    @pytest.mark.parametrize("parts", [[], [b"HTTP/1.1 200 OK\r\n\r\n"], [b"\0" * 100]])
    def test_what_is_no_grpc_server(self, parts):
        with raw_server(parts) as port:
            said = message_of(client.grpc(f"localhost:{port}", "m", timeout=3))
        assert f"localhost:{port}" in said and said.isprintable()

    def test_a_server_that_loads_its_model_is_asked_again(self, serve):
        left = iter([False, False, True])

        def answer(context):
            if not next(left):
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
            return tensors()

        state = get_model_status_pb2.ModelVersionStatus.LOADING
        assert ask(client.grpc(serve(answer, state), "m")) == [client.Answer("bee", 0.75)]

    def test_a_server_that_will_never_have_the_model_is_not(self, serve):
        asked = []

        def answer(context):
            asked.append(context)
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")

        state = get_model_status_pb2.ModelVersionStatus.END
        assert "NOT_FOUND, Servable not found" in message_of(client.grpc(serve(answer, state), "m"))
        assert len(asked) == 1

    @pytest.mark.parametrize("address", ["", "localhost", "http://a:1", "a:1\n", "caf\udce9:1"])
    def test_another_address_is_refused(self, address):
        with pytest.raises(ArtifactError, match="is no address of a server; expected host:port"):
            client.grpc(address, "m")

    @pytest.mark.parametrize("names", [("caf\udce9",), ("m", "caf\udce9"), ("a\nb",)])
    def test_a_name_that_messages_cannot_hold(self, names):
        with pytest.raises(ArtifactError, match="is no name of a model or task"):
            client.grpc("localhost:1", *names)
