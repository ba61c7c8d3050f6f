"""The client in front of REST servers that answer wrongly, late, or not yet."""

import itertools
import json
import time
import tracemalloc
import types

import numpy as np
import pytest

from export.metadata import ArtifactError
from export.serving import client, patience
from tests.export.serving.wrong_servers import (
    ask,
    message_of,
    predictions,
    raw_server,
    rest_server,
    states,
)
from tests.fuzz.watching import bounded

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

    def test_a_long_reply_is_not_read_to_its_end(self):
        length = {"Content-Length": str(2**40)}
        with rest_server(lambda *_: (200, length, b" " * 2**22)) as (url, _):
            tracemalloc.start()
            said = message_of(client.rest(url, "m", max_reply=2**20))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert "answers with more than --max_reply=1 MiB" in said
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
                with bounded():
                    (answer,) = ask(classifier)
            except ArtifactError as error:
                assert str(error).isprintable()
            else:
                assert 0 <= answer.score <= 1
                assert json.loads(content[0])["predictions"][0]["class_name"] == answer.class_name
