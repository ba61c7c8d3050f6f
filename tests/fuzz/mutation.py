"""Damage to files, by a seed: of bytes, of the JSON values in them, and of whole folders."""

import copy
import os

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


def of_folder(rng, folder):
    """Damages one file of a folder, or adds one; returns its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return rng.choice(list(OF_FOLDERS.values()))(rng, folder, rng.choice(files))


def _altered(rng, folder, path):
    path.write_bytes(of_bytes(rng, path.read_bytes() or b"\0"))
    return path


def _removed(rng, folder, path):
    path.unlink()
    return path


def _linked(rng, folder, path):
    """The same content behind a link, so that it may be another one a moment later."""
    aside = path.rename(folder.with_name("aside"))
    path.symlink_to(aside)
    return path


def _folder_linked(rng, folder, path):
    if path.parent == folder:
        return _linked(rng, folder, path)
    path.parent.rename(folder.with_name("aside"))
    path.parent.symlink_to(folder.with_name("aside"))
    return path.parent


def _replaced_by_a_folder(rng, folder, path):
    path.unlink()
    path.mkdir()
    return path


def _added(rng, folder, path):
    added = path.with_name(f"{path.name}.txt")
    added.write_bytes(path.read_bytes())
    return added


def _pipe_added(rng, folder, path):
    added = path.with_name("pipe")
    os.mkfifo(added)
    return added


OF_FOLDERS = {
    "altered": _altered,
    "removed": _removed,
    "linked": _linked,
    "its folder linked": _folder_linked,
    "replaced by a folder": _replaced_by_a_folder,
    "added": _added,
    "pipe added": _pipe_added,
}
