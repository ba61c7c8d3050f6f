"""The challenge's files: what is written is read back and scored as counted by hand."""

import json

import pytest

from tailor_tf.decathlon import challenge


@pytest.fixture
def kit(tmp_path):
    """Annotations of three classes with ids 7, 3, 5 and four test images, as the kit has them."""
    images = [{"id": 100 + i, "file_name": f"data/dtd/test/{i}.jpg"} for i in range(4)]
    categories = [{"id": 7, "name": "a"}, {"id": 3, "name": "b"}, {"id": 5, "name": "c"}]
    (tmp_path / "dtd_train.json").write_text(json.dumps({"categories": categories}))
    (tmp_path / "dtd_test_stripped.json").write_text(json.dumps({"images": images}))
    truth = [{"image_id": 100 + i, "category_id": c} for i, c in enumerate((7, 3, 5, 5))]
    (tmp_path / "dtd_test.json").write_text(json.dumps({"annotations": truth}))
    return tmp_path


NAMES = [f"dtd/test/{i}.jpg" for i in (2, 0, 1, 3)]


def test_results_have_the_ids_of_images_and_categories(kit):
    annotations = challenge.read_annotations(kit, "dtd")
    challenge.write_results(kit / "results.json", annotations, NAMES, [2, 0, 0, 2])
    assert json.loads((kit / "results.json").read_text()) == [
        {"image_id": 102, "category_id": 5},
        {"image_id": 100, "category_id": 7},
        {"image_id": 101, "category_id": 7},
        {"image_id": 103, "category_id": 5},
    ]
    assert challenge.accuracy(kit / "results.json", kit / "dtd_test.json") == 75


@pytest.mark.parametrize("names", [NAMES[:3], [*NAMES, "dtd/test/9.jpg"]])
def test_other_images_than_those_annotated(kit, names):
    annotations = challenge.read_annotations(kit, "dtd")
    with pytest.raises(ValueError, match=r"do not fit 4 annotations: . unknown, . without"):
        challenge.write_results(kit / "results.json", annotations, names, [0] * len(names))


def test_a_class_that_the_annotations_do_not_have(kit):
    annotations = challenge.read_annotations(kit, "dtd")
    with pytest.raises(ValueError, match="predictions of class 3 and 3 categories"):
        challenge.write_results(kit / "results.json", annotations, NAMES, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[{", "JSONDecodeError"),
        ('{"images": 3}', "TypeError"),
        ('{"pictures": []}', "KeyError: 'images'"),
        ('{"images": [{"id": 1}]}', "an entry lacks one of id, file_name"),
    ],
)
def test_a_file_that_holds_something_else_is_named(kit, content, problem):
    (kit / "dtd_test_stripped.json").write_text(content)
    with pytest.raises(ValueError, match=rf"Cannot use .*dtd_test_stripped.json \({problem}"):
        challenge.read_annotations(kit, "dtd")


def test_missing_files_and_predictions(kit):
    with pytest.raises(ValueError, match=r"Cannot use .*svhn_train.json \(FileNotFoundError"):
        challenge.read_annotations(kit, "svhn")
    (kit / "results.json").write_text('[{"image_id": 100, "category_id": 7}]')
    with pytest.raises(ValueError, match="no prediction for image 101 of 3 such"):
        challenge.accuracy(kit / "results.json", kit / "dtd_test.json")
    with pytest.raises(ValueError, match=r"No annotations in .*Unpack decathlon"):
        challenge.find_annotations(kit)
    folder = kit / "downloads" / "extracted" / "TAR_GZ.x" / "decathlon-1.0" / "annotations"
    folder.mkdir(parents=True)
    assert challenge.find_annotations(kit) == folder
