"""JSON of files that other people may have written."""

import json
from typing import Any

from tailor_tf.support import limits


def parsed(text: str | bytes, most: int = limits.JSON_BYTES) -> Any:
    """The value of a JSON text.

    Args:
        text: the text; bytes are UTF-8.
        most: largest length that is parsed, bytes or characters.

    Raises:
        ValueError: it is no JSON text, it is too long, it is nested too deeply, or a whole number
            in it has more than `limits.DIGITS` digits.
    """
    if len(text) > most:
        raise ValueError(f"a text of {len(text):,} bytes, expected {most:,} at most")
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("a text that is nested too deeply") from error


def _whole(digits: str) -> int:
    """A whole number that a float can hold, too."""
    if len(digits) > limits.DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits, expected {limits.DIGITS} at most")
    return int(digits)
