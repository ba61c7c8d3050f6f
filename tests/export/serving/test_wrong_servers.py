"""The client in front of servers that answer wrongly, late, or not yet."""

import concurrent.futures
import itertools
import json
import time
import tracemalloc
import types

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
from export.serving import client, patience, rest
from tests.export.serving.wrong_servers import predictions, raw_server, rest_server, states

GOOD = {"class_name": "bee", "scores": [0.25, 0.75]}
DEEP = b'{"predictions": ' + b"[" * 200_000
REPLIES = {
    "nothing": b"",
    "text": b"hello",
    "HTML": b"<html><body>404</body></html>",
    "bytes": bytes(range(256)),
    "half": predictions(GOOD)[:-9],
    "deep": DEEP,
    "many digits": b'{"predictions": ' + b"9" * 100_000 + b"}",
    "a list": b"[1]",
    "a number": b"1",
    "null": b"null",
    "no predictions": b'{"error": "x"}',
    "predictions of null": b'{"predictions": null}',
    "predictions of text": b'{"predictions": "ab"}',
    "predictions of numbers": predictions(1),
    "no class": predictions({"scores": [1.0]}),
    "no scores": predictions({"class_name": "bee"}),
    "no answers": predictions(),
    "too many answers": predictions(GOOD, GOOD),
    "a class of null": predictions({**GOOD, "class_name": None}),
    "a class of a list": predictions({**GOOD, "class_name": ["bee"]}),
    "scores of null": predictions({**GOOD, "scores": None}),
    "empty scores": predictions({**GOOD, "scores": []}),
    "scores of text": predictions({**GOOD, "scores": "0.5"}),
    "scores of lists": predictions({**GOOD, "scores": [[0.5]]}),
    "a score of null": predictions({**GOOD, "scores": [0.5, None]}),
    "nan": predictions({**GOOD, "scores": [float("nan"), 0.5]}),
    "infinite": predictions({**GOOD, "scores": [float("inf")]}),
    "negative": predictions({**GOOD, "scores": [-1.0, 0.5]}),
    "above one": predictions({**GOOD, "scores": [70.0]}),
    "huge": predictions({**GOOD, "scores": [10**400]}),
}


def ask(classifier, images=1):
    return classifier([b"image"] * images)


def message_of(classifier, images=1):
    with pytest.raises(ArtifactError) as caught:
        ask(classifier, images)
    assert not isinstance(caught.value, client.RefusedError)
    return str(caught.value)


class TestREST:
    @pytest.mark.parametrize("content", REPLIES.values(), ids=REPLIES)
    def test_a_wrong_reply_is_one_message(self, content):
        with rest_server(lambda *_: (200, {}, content)) as (url, _):
            said = message_of(client.rest(url, "m"))
        assert said.startswith(f"{url}/v1/models/m") and " answers with " in said
        assert "\n" not in said and len(said) < 500

    @pytest.mark.parametrize("status", [204, 301, 302, 307, 401, 403, 404, 405, 413, 500, 502, 503])
    @pytest.mark.parametrize("content", [b"", b"a\x1b[2J\r\nError: forged", b"x" * 10**6])
    def test_another_status_is_one_message(self, status, content):
        headers = {"Location": "http://localhost:1/"} if 300 < status < 400 else {}
        with rest_server(lambda *_: (status, headers, content)) as (url, asked):
            said = message_of(client.rest(url, "m"))
        assert set(asked) <= {"/v1/models/m:predict", "/v1/models/m"}
        assert said.isprintable() and len(said) < 500
        if status != 204:
            assert f"answers {status}: " in said

    @pytest.mark.parametrize(
        "parts",
        [
            [],
            [b"\0\1\2"],
            [b"SSH-2.0-OpenSSH\r\n"],
            [b"HTTP/1.1 abc OK\r\n\r\n"],
            [b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"],
            [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"],
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
            [b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"],
            [b"HTTP/1.1 200 " + b"x" * 70_000],
        ],
    )
    def test_what_is_no_reply_is_one_message(self, parts):
        with raw_server(parts) as port:
            said = message_of(client.rest(f"http://localhost:{port}", "m"))
        assert f"localhost:{port}" in said and said.isprintable()

    @pytest.mark.parametrize(
        "start",
        [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n"],
    )
    def test_a_reply_without_end_ends_at_the_deadline(self, start):
        """A byte now and then keeps a socket's own timeout from running out."""
        with raw_server(itertools.chain([start], itertools.repeat(b" "))) as port:
            classifier = client.rest(f"http://localhost:{port}", "m", timeout=0.6)
            started = time.monotonic()
            said = message_of(classifier)
        assert "has not answered within 0.6 s" in said
        assert time.monotonic() - started < 5

    def test_a_long_reply_is_not_read_to_its_end(self, monkeypatch):
        monkeypatch.setattr(rest, "MAX_REPLY", 2**20)
        length = {"Content-Length": str(2**40)}
        with rest_server(lambda *_: (200, length, b" " * 2**22)) as (url, _):
            tracemalloc.start()
            said = message_of(client.rest(url, "m"))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert "answers with more than 1 MiB" in said
        assert peak < 2**24

    @pytest.mark.parametrize(
        ("model", "path"),
        [
            ("my flowers", "/v1/models/my%20flowers:predict"),
            ("\u65e5\u672c", "/v1/models/%E6%97%A5%E6%9C%AC:predict"),
            ("a/b?c#d%e:f", "/v1/models/a%2Fb%3Fc%23d%25e%3Af:predict"),
            ("../../x", "/v1/models/..%2F..%2Fx:predict"),
            ("caf\udce9", "/v1/models/caf%E9:predict"),
            ("a\r\nHost: b", "/v1/models/a%0D%0AHost%3A%20b:predict"),
        ],
    )
    def test_any_name_is_quoted(self, model, path):
        with rest_server(lambda *_: (200, {}, predictions(GOOD))) as (url, asked):
            assert ask(client.rest(url, model)) == [client.Answer("bee", 0.75)]
        assert asked == [path]

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "localhost:1",
            "file:///etc/passwd",
            "http://",
            "http://a:b",
            "http://a:99999",
            "http://a b",
            "http://a/?x=1",
            "http://\u65e5",
            "http://a\n",
            "ftp://a",
            "caf\udce9",
        ],
    )
    def test_another_address_is_refused(self, url):
        with pytest.raises(ArtifactError, match="is no address of a server; expected http://host"):
            client.rest(url, "m")

    def test_a_server_that_loads_its_model_is_asked_again(self):
        replies = iter([(404, b"Servable not found")] * 2 + [(200, predictions(GOOD))])

        def answer(method, _):
            status, content = next(replies) if method == "POST" else (200, states("LOADING"))
            return status, {}, content

        with rest_server(answer) as (url, asked):
            assert ask(client.rest(url, "m")) == [client.Answer("bee", 0.75)]
        assert asked == ["/v1/models/m:predict", "/v1/models/m"] * 2 + ["/v1/models/m:predict"]

    @pytest.mark.parametrize(
        "reply", [states("AVAILABLE"), states("END"), states(), b"", b"[]", DEEP, b'{"a": 1}']
    )
    def test_a_server_that_will_never_have_the_model_is_not(self, reply):
        def answer(method, _):
            return (404, {}, b"no such model") if method == "POST" else (200, {}, reply)

        with rest_server(answer) as (url, asked):
            assert "answers 404: no such model" in message_of(client.rest(url, "m"))
        assert asked == ["/v1/models/m:predict", "/v1/models/m"]

    def test_a_server_that_loads_for_too_long(self):
        def answer(method, _):
            return (503, {}, b"") if method == "POST" else (200, {}, states("END", "START"))

        with rest_server(answer) as (url, _):
            said = message_of(client.rest(url, "m", timeout=0.6))
        assert "is still loading the model after 0.6 s" in said

    def test_waits_get_longer(self, monkeypatch):
        waits = []
        clock = types.SimpleNamespace(sleep=waits.append, monotonic=time.monotonic)
        monkeypatch.setattr(patience, "time", clock)
        replies = iter([(503, b"")] * 7 + [(200, predictions(GOOD))])

        def answer(method, _):
            status, content = next(replies) if method == "POST" else (200, states("LOADING"))
            return status, {}, content

        with rest_server(answer) as (url, _):
            ask(client.rest(url, "m"))
        assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


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
        response = tensors(scores=((0.5,) * (2**20 + 1),))
        assert message_of(client.grpc(serve(lambda _: response), "m")).isprintable()

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


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.slow)])
def test_replies_of_random_bytes_are_one_message(count):
    """Mutations of a good reply, each answered or refused."""
    rng = np.random.default_rng(0)
    good = predictions(GOOD)
    content = [good]

    def mutated():
        changed = bytearray(good)
        for place in rng.integers(0, len(good), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        return bytes(changed)

    with rest_server(lambda *_: (200, {}, content[0])) as (url, _):
        classifier = client.rest(url, "m")
        for content[0] in (mutated() for _ in range(count)):
            try:
                (answer,) = ask(classifier)
            except ArtifactError as error:
                assert str(error).isprintable()
            else:
                assert 0 <= answer.score <= 1
                assert json.loads(content[0])["predictions"][0]["class_name"] == answer.class_name
