"""Files inside of artifacts: a line for each class, and the names themselves in the metadata."""

import pytest

from export import metadata
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo

PREPROCESSING = Preprocessing(8, (0.5,) * 3, (0.25,) * 3, flip=True, crop_padding=1)


@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\r\nb", "a\u2028b\x0b\x0c\x1c\x85", "\n", "a\0b", "caf\udce9", "\u65e5\u672c", "|"],
)
def test_a_class_of_any_name_is_one_line(name):
    info = TaskInfo("animals", ("ant", name, "cow"), PREPROCESSING)
    found = metadata.files(info)
    for lines in (
        found[metadata.LABELS_FILE].splitlines(),
        found[metadata.LABELS_FILE].split("\n"),
    ):
        assert lines[0] == "ant" and lines[2] == "cow"
    found[metadata.LABELS_FILE].encode("utf-8")
    assert metadata.from_json(found[metadata.METADATA_FILE], "here").classes == info.classes


def test_usual_names_are_written_as_they_are():
    info = TaskInfo("animals", ("white-tailed eagle", "M\u00fcller's gibbon"), PREPROCESSING)
    assert (
        metadata.files(info)[metadata.LABELS_FILE] == "white-tailed eagle\nM\u00fcller's gibbon\n"
    )
