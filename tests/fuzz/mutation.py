"""Damage to files, by a seed: of bytes, and of the JSON values in them."""

import copy

_BYTES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\n", b'"', b"{")
_VALUES = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**400,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "../../../victim",
    "/etc/passwd",
    "a\0b",
    "\ud800",
    [],
    {},
    [[]],
    [0] * 1000,
    {"a": {"b": []}},
)


def of_bytes(rng, content):
    """A copy of bytes, damaged as a disk, a network or a stranger does it; never the same."""
    while True:
        damaged = _KINDS[rng.randrange(len(_KINDS))](rng, bytearray(content))
        if damaged != content:
            return bytes(damaged)


def _flipped(rng, content):
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def _cut(rng, content):
    return content[: rng.randrange(len(content))]


def _overwritten(rng, content):
    place, values = rng.randrange(len(content)), rng.choice(_BYTES)
    content[place : place + len(values)] = values
    return content


def _without_part(rng, content):
    place = rng.randrange(len(content))
    del content[place : place + rng.randrange(1, 64)]
    return content


def _repeated(rng, content):
    place = rng.randrange(len(content))
    part = content[place : place + rng.randrange(1, 64)]
    return content[:place] + part + content[place:]


def _header(rng, content):
    """The first bytes, where lengths and offsets lie."""
    for _ in range(rng.randrange(1, 4)):
        content[rng.randrange(min(16, len(content)))] = rng.randrange(256)
    return content


_KINDS = (_flipped, _flipped, _cut, _overwritten, _without_part, _repeated, _header)


def of_json(rng, value):
    """A copy of a JSON value in which one value, somewhere inside, is another one or missing."""
    damaged = copy.deepcopy(value)
    places = list(_places(damaged))
    inside, key = places[rng.randrange(len(places))]
    if rng.random() < 0.2:
        del inside[key]
    else:
        inside[key] = copy.deepcopy(rng.choice(_VALUES))
    return damaged


def _places(value):
    """Every container in a JSON value with each of its keys or positions."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
