"""JSON of files that other people may have written."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tailor_tf.support import limits

CHECKSUM = "checksum"  # entry of an object; missing in files of earlier versions of this project


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
        value = json.loads(text, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("a text that is nested too deeply") from error
    _check_depth(value)
    return value


def canonical(value: Any) -> str:
    """A value as the one JSON text that all of its forms have: keys sorted and as files have them.

    Checksums are made of it, so that they do not depend on the order of keys or on white space.
    """
    return json.dumps(json.loads(json.dumps(value)), sort_keys=True)


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with a checksum of its other entries."""
    return {**value, CHECKSUM: _checksum(value)}


def unsealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `sealed`; an object without a checksum is returned as it is.

    Raises:
        ValueError: the entries do not match their checksum.
    """
    rest = {key: entry for key, entry in value.items() if key != CHECKSUM}
    if CHECKSUM in value and value[CHECKSUM] != _checksum(rest):
        received = str(value[CHECKSUM])[:16]
        raise ValueError(f"its content does not match its checksum {received}")
    return rest


def _checksum(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _check_depth(value: Any) -> None:
    """Refuses nesting in which functions that call themselves would run out of their stack."""
    level, depth = [value], 0
    while level := [child for each in level for child in _containers(each)]:
        depth += 1
        if depth > limits.DEPTH:
            raise ValueError(f"a text nested more than {limits.DEPTH} levels deep")


def _containers(value: Any) -> list[Any]:
    """The objects and arrays directly inside of a JSON value."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in inside if isinstance(child, dict | list)]


def _whole(digits: str) -> int:
    """A whole number that a float can hold, too."""
    if len(digits) > limits.DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits, expected {limits.DIGITS} at most")
    return int(digits)
