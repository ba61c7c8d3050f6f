"""JSON of strangers: limits of length, depth and digits."""

import json

import pytest

from tailor_tf.support.json_text import parsed, sealed, unsealed


def test_plain():
    assert parsed(b'{"a": [1, 2.5, "\xc3\xa9"]}') == {"a": [1, 2.5, "é"]}
    assert parsed("[]") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "[" * 300 + "]" * 300,
        '{"a":' * 300 + "1" + "}" * 300,
        '{"a":' * 100_000,
        "9" * 5000,
        "9" * 21,
        b"\xff\xfe",
        b"\xed\xa0\x80",
    ],
)
def test_what_is_refused(text):
    with pytest.raises(ValueError):
        parsed(text)


def test_length():
    assert parsed("[1]", most=3) == [1]
    with pytest.raises(ValueError, match="a text of 4 bytes, expected 3 at most"):
        parsed("[10]", most=3)


def test_objects_with_a_checksum():
    value = {"a": [1, 2.5, "é"], "b": {"d": 1, "c": None}}
    written = parsed(json.dumps(sealed(value)))
    assert unsealed(written) == value
    assert unsealed(dict(reversed(written.items()))) == value
    assert unsealed(value) == value
    for other in ({"a": [1]}, {"e": 1}, {"checksum": "0"}):
        with pytest.raises(ValueError, match="does not match its checksum"):
            unsealed({**written, **other})
