"""Servers that do not answer as TensorFlow Serving does, or not yet, and what clients say then."""

import contextlib
import http.server
import json
import socket
import threading

import pytest

from export.metadata import ArtifactError
from export.serving import client


@contextlib.contextmanager
def rest_server(answer):
    """Context manager: yields the URL of a server and the paths that it was asked for.

    Args:
        answer: from the method and the path of a request to status, headers and content.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _do(self):
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, content = answer(self.command, self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _do  # noqa: N815

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}", asked
    finally:
        server.shutdown()


@contextlib.contextmanager
def raw_server(answer):
    """Context manager: yields the port of a server that sends bytes, whatever it is asked.

    Args:
        answer: the bytes, one after the other with a pause of 0.05 s, without end.
    """
    ended = threading.Event()
    with socket.create_server(("localhost", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=send, args=(connection,), daemon=True).start()

        def send(connection):
            with contextlib.suppress(OSError), connection:
                connection.recv(2**16)
                for part in answer:
                    connection.sendall(part)
                    if ended.wait(0.05):
                        return

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        ended.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def predictions(*rows):
    """The content of a reply with predictions."""
    return json.dumps({"predictions": list(rows)}).encode()


def states(*names):
    """The content of a reply with the states of a model's versions."""
    versions = [{"version": str(n), "state": name} for n, name in enumerate(names, start=1)]
    return json.dumps({"model_version_status": versions}).encode()


def ask(classifier, images=1):
    return classifier([b"image"] * images)


def message_of(classifier, images=1):
    with pytest.raises(ArtifactError) as caught:
        ask(classifier, images)
    assert not isinstance(caught.value, client.RefusedError)
    return str(caught.value)
