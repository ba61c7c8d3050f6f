"""Classification by TensorFlow Serving over REST."""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from export.saved_model import requests
from export.serving import answers, patience
from export.serving.answers import Answer, Classifier, RefusedError, ServerError, UnavailableError
from tailor_tf.support import limits

_MAX_DETAILS = 64 * 1024  # bytes of the text of an error
_NOT_THERE = (404, 503)  # answers while a model is being loaded, or if there is none


def rest(
    url: str,
    model: str,
    task: str | None = None,
    timeout: float = patience.TIMEOUT,
    max_reply: int = limits.REPLY_BYTES,
) -> Classifier:
    """Classifies with TensorFlow Serving over REST.

    Args:
        url: `http://host:port`.
        model: the model's name.
        task: name of one task in a model of many; `None` for a model of one.
        timeout: seconds for a request, with all its attempts.
        max_reply: largest reply, bytes; it has about 40 for each image and class.

    Raises:
        ServerError: the URL is none of a server.
    """
    place = f"{_base(url)}/v1/models/{_quoted(model)}"
    _, signature = requests.signatures(task)

    def classify(images: Sequence[bytes]) -> list[Answer]:
        deadline = patience.Deadline(timeout)
        instances = [{"encoded": {"b64": base64.b64encode(i).decode()}} for i in images]
        body = {"signature_name": signature, "instances": instances}
        reply = patience.answered(
            place,
            deadline,
            lambda: _reply(f"{place}:predict", deadline, max_reply, body),
            lambda: _states(place, deadline, max_reply),
        )
        return answers.checked(place, len(images), _pairs(place, reply))

    return classify


def _base(url: str) -> str:
    """The URL of a server without a slash at its end."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is no number
        usable = False
    if (
        not usable
        or parts.query
        or parts.fragment
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise ServerError(f"{url!r} is no address of a server; expected http://host:port.")
    return url.rstrip("/")


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="", errors="surrogateescape")


def _pairs(place: str, reply: Any) -> list[tuple[Any, Any]]:
    try:
        return [(each["class_name"], list(each["scores"])) for each in reply["predictions"]]
    except (TypeError, KeyError) as error:
        raise answers.unlike(place, "JSON of another form") from error


def _states(place: str, deadline: patience.Deadline, most: int) -> list[str]:
    """States of a model's versions; none if the server does not say."""
    try:
        reply = _reply(place, deadline, most)
        return [str(version["state"]) for version in reply["model_version_status"]]
    except (ServerError, TypeError, KeyError):
        return []


def _reply(
    place: str, deadline: patience.Deadline, most: int, body: dict[str, Any] | None = None
) -> Any:
    """The JSON, of `most` bytes, with which a server answers a request: GET, or POST of `body`."""
    try:
        content = patience.within(place, deadline, lambda: _content(place, deadline, most, body))
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, ServerError | RefusedError):
            raise
        if isinstance(error, TimeoutError) or isinstance(_cause(error), TimeoutError):
            raise patience.too_late(place, deadline) from error
        said = answers.excerpt(str(error) or type(error).__name__)
        raise ServerError(
            f"{place} does not answer: {said}. Is TensorFlow Serving running there?"
        ) from error
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise answers.unlike(place, "something that is not JSON") from error


def _cause(error: Exception) -> Any:
    return getattr(error, "reason", None)  # of urllib's errors


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Answers with another address are errors: images are for the server that was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _content(
    place: str, deadline: patience.Deadline, most: int, body: dict[str, Any] | None
) -> bytes:
    headers = {"Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        request = urllib.request.Request(place, data, headers)
        with opener.open(request, timeout=deadline.left) as response:
            content = response.read(most + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(place, error.code, error.read(_MAX_DETAILS)) from error
    if len(content) > most:
        raise answers.too_long(place, most)
    return content


def _refusal(place: str, code: int, details: bytes) -> ServerError | RefusedError:
    text = details.decode(errors="replace")
    if code == 400:
        return RefusedError(answers.reason(text))
    kind = UnavailableError if code in _NOT_THERE else ServerError
    return kind(f"{place} answers {code}: {answers.excerpt(text)}")
