"""Settings of a working directory, and images that changed since."""

import copy

import pytest

from tailor_tf.records.same_settings import (
    SettingsChangedError,
    check_same_settings,
    have_same_images,
)

SETTINGS = {
    "seed": 0,
    "teacher": {"epochs": 3},
    "fingerprint": {
        "train": {"no": "a1", "yes": "b2", "c.d": "c3", "e": "d4", "f": "e5"},
        "test": {"no": "f6", "yes": "a7"},
    },
}


def changed(*places: tuple[str, str, str | None]) -> dict:
    """Settings with other fingerprints of some classes; `None` removes the class."""
    settings = copy.deepcopy(SETTINGS)
    for split, name, letters in places:
        settings["fingerprint"].setdefault(split, {})[name] = letters
        if letters is None:
            del settings["fingerprint"][split][name]
    return settings


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([("train", "no", "x")], "the images of train changed, of the classes no. Use another"),
        ([("test", "yes", None)], "the images of test changed, of the classes yes"),
        ([("train", "new", "x")], "the images of train changed, of the classes new"),
        ([("validation", "no", "x")], "the images of validation changed, of the classes no"),
        (
            [("train", name, "x") for name in ("no", "yes", "c.d", "e", "f")],
            "the images of train changed, of the classes c.d, e, f and 2 more",
        ),
        (
            [("train", "no", "x"), ("test", "no", "x")],
            "the images of test changed, of the classes no; the images of train changed",
        ),
    ],
)
def test_images_that_changed_are_named_by_class(places, message):
    now = changed(*places)
    assert not have_same_images(SETTINGS, now)
    with pytest.raises(SettingsChangedError) as error:
        check_same_settings("records/teacher.json", SETTINGS, now)
    assert message in str(error.value)
    assert str(error.value).endswith("(pipelines.tailor: --redo=teacher).")


def test_other_settings_are_named_too():
    now = changed(("train", "no", "x")) | {"seed": 1}
    with pytest.raises(SettingsChangedError, match=r"seed was 0 and is 1; the images of train"):
        check_same_settings("teacher.json", SETTINGS, now)
    with pytest.raises(SettingsChangedError, match=r"epochs was 3 and is 4.*--redo=PHASE"):
        check_same_settings("teacher.json", SETTINGS, SETTINGS | {"teacher": {"epochs": 4}})


def test_files_that_do_not_tell_their_images_are_accepted():
    """Those of earlier versions, and of tasks that a program made of arrays."""
    unknown = {key: value for key, value in SETTINGS.items() if key != "fingerprint"}
    strange = [unknown | {"fingerprint": value} for value in (None, "a", [1], {"train": 1})]
    for other in (unknown, *strange, SETTINGS):
        for old, now in ((other, SETTINGS), (SETTINGS, other)):
            check_same_settings("teacher.json", old, now)
            assert have_same_images(old, now)
