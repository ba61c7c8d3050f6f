"""The lock file: exact versions with checksums for everything that is asked for."""

import re

from packaging.requirements import Requirement

from tests.programs import ROOT

ENTRY = re.compile(
    r"^(\S+)==(\S+)(?: ; [^\\\n]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def _name(name):
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked():
    text = (ROOT / "requirements.lock").read_text()
    return {_name(name): version for name, version, _ in ENTRY.findall(text)}


def test_everything_in_the_lock_file_is_a_version_with_checksums():
    text = (ROOT / "requirements.lock").read_text()
    rest = ENTRY.sub("", text)
    assert all(line.startswith("#") for line in rest.splitlines()), rest[:300]
    assert "://" not in text


def test_the_lock_file_has_what_is_asked_for():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [Requirement(line.partition("#")[0]) for line in lines if re.match(r"\w", line)]
    locked = _locked()
    assert len(wanted) > 20
    for requirement in wanted:
        assert requirement.specifier.contains(locked[_name(requirement.name)]), requirement
