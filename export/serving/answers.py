"""Answers of classifiers, and the check of what a server answers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from export.metadata import ArtifactError
from tailor_tf.data.decoding import refusal
from tailor_tf.support import limits
from tailor_tf.support.text import one_line

_SHOWN = 200  # characters of a server's text in a message
_ROUNDING = 1e-3  # by which a score in a reply may be above 1


@dataclasses.dataclass(frozen=True)
class Answer:
    """The likeliest class of an image, and its score, 0..1.

    Attributes:
        class_name: the class.
        score: its score.
        scores: the scores of all classes; empty if they are not known.
        classes: the names of all classes; empty if they are not known, as from a server.
    """

    class_name: str
    score: float
    scores: tuple[float, ...] = dataclasses.field(default=(), compare=False, repr=False)
    classes: tuple[str, ...] = dataclasses.field(default=(), compare=False, repr=False)

    def ranking(self, count: int) -> list[tuple[str, float]]:
        """The `count` likeliest classes with their scores; the likeliest alone without names."""
        if not self.classes:
            return [(self.class_name, self.score)]
        order = np.argsort(-np.asarray(self.scores), kind="stable")[:count]
        return [(self.classes[index], self.scores[index]) for index in order]


class RefusedError(ArtifactError):
    """Images that were not accepted; other requests are."""


class ServerError(ArtifactError):
    """A server that cannot be reached, or does not answer as TensorFlow Serving does."""


class UnavailableError(ServerError):
    """A server that is there and has no such model, perhaps not yet."""


Classifier = Callable[[Sequence[bytes]], list[Answer]]  # from contents of image files


def checked(place: str, count: int, pairs: Sequence[tuple[Any, Sequence[Any]]]) -> list[Answer]:
    """Answers from what a server replied.

    Args:
        place: the server, for the error.
        count: number of images that it was asked about.
        pairs: for each image the class and the scores that were replied.

    Raises:
        ServerError: another number of answers, a class that is no text, or a score that is not a
            number from 0 to 1.
    """
    if len(pairs) != count:
        raise unlike(place, f"{len(pairs)} answers to {count} images")
    return [
        Answer(_text(place, name), _score(place, scores), tuple(map(float, scores)))
        for name, scores in pairs
    ]


def _text(place: str, name: Any) -> str:
    if not isinstance(name, str):
        raise unlike(place, f"a class that is no text but {type(name).__name__}")
    return name


def _score(place: str, scores: Sequence[Any]) -> float:
    numbers = [score for score in scores if isinstance(score, int | float)]
    inside = [0 <= number <= 1 + _ROUNDING for number in numbers]  # "nan" is not
    if not numbers or len(numbers) != len(scores) or not all(inside):
        raise unlike(place, "scores that are not numbers from 0 to 1")
    return min(float(max(numbers)), 1.0)


def unlike(place: str, what: str) -> ServerError:
    """The error for a reply that is not one of TensorFlow Serving with a model of this project."""
    return ServerError(
        f"{place} answers with {what}; expected a class and its scores for each image. Is this "
        "TensorFlow Serving, with a model that pipelines.export wrote?"
    )


def too_long(place: str, most: int) -> ServerError:
    """The error for a reply of more than `most` bytes."""
    return unlike(place, f"more than --max_reply={most / limits.MIB:g} MiB")


def excerpt(text: str | None) -> str:
    """The begin of a server's text, on one line."""
    shown = one_line(text or "no details")
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def reason(message: str) -> str:
    """TensorFlow's message on an image that it does not accept, without the place in its graph."""
    return excerpt(refusal(message))
