"""Names of tasks: what is a name, and what a file system may take for the same."""

import unicodedata

import pytest

from tailor_tf.support import names
from tailor_tf.support.names import TaskNameError

GOOD = (
    "digits",
    "digits.v2",
    "hand-signs",
    "Flowers_102",
    "7",
    "vélo",
    "日本",
    "tasks2",
    "console",
    "com10",
    "x" * 100,
)
BAD = (
    "",
    ".",
    "..",
    "../../../victim",
    "/etc",
    "a/b",
    "a\\b",
    ".hidden",
    "_private",
    "-flag",
    "ends.",
    "my photos",
    "a\n",
    "a\tb",
    "a\0",
    "a\x1b[31m",
    "a:b",
    "a|b",
    "$x$",
    "<b>",
    "x" * 101,
    "日" * 80,
    "\ud800",
    "tasks",
    "TASKS",
    "con",
    "CON",
    "nul.txt",
    "Com1",
    "lpt9.a.b",
    "aux",
    None,
    3,
    ["a"],
)


@pytest.mark.parametrize("name", GOOD)
def test_names(name):
    assert names.checked(name) == name


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_name(name):
    with pytest.raises(TaskNameError, match=r"cannot be the name of a task; expected .*--name"):
        names.checked(name)


@pytest.mark.parametrize("name", BAD)
def test_the_name_that_is_suggested_is_one(name):
    with pytest.raises(TaskNameError) as caught:
        names.checked(name)
    suggested = str(caught.value).rpartition("such as ")[2].rstrip(".")
    assert names.checked(suggested) == suggested


def test_composed_form():
    decomposed = unicodedata.normalize("NFD", "vélo")
    assert decomposed != "vélo"
    assert names.checked(decomposed) == "vélo"


@pytest.mark.parametrize(
    ("name", "other"), [("Birds", "birds"), ("vélo", "ve\u0301lo"), ("straße", "STRASSE")]
)
def test_names_that_file_systems_confuse(name, other):
    with pytest.raises(TaskNameError, match=rf"{name}.*{other}.* in here by case or Unicode form"):
        names.check_distinct(name, ["owls", other], "here")


def test_names_that_differ_or_are_the_same():
    names.check_distinct("birds", ["birds", "bird", "words"], "here")
