"""Reading the records of a run, and the figures that follow from them."""

import json

import numpy as np
import pytest

from tailor_tf.records import phase as phases
from tailor_tf.records.level import Level
from tailor_tf.records.phase import Phase
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import outcome, writer
from tailor_tf.support.errors import TailorError
from tests.report import builders
from tests.report.builders import CHOSEN


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("teacher", "the teacher phase"),
        ("student", "the student phase"),
        ("run", "the teacher phase"),
        ("selection", "the selection"),
        ("pruned_3", "pruning with 3 universal blocks"),
        ("finetuned_1", "fine-tuning with 1 universal block to"),
    ],
)
def test_a_missing_record_names_file_and_phase(tmp_path, made, name, phase):
    workdir = Workdir(made.write(tmp_path))
    workdir.record(name).unlink()
    with pytest.raises(ValueError, match=rf"{name}\.json does not exist: {phase}.* has not run"):
        outcome.load(workdir)


def test_levels_that_were_trained_together_are_read_as_they_were_judged(tmp_path, made):
    made.train_together()
    found = outcome.load(Workdir(made.write(tmp_path)))
    assert list(found.judged) == [Level(blocks) for blocks in range(5)]
    assert list(found.finetuned) == [Level(3), Level(2), Level(1)]
    assert found.sandwich.seconds == 100


def test_a_chosen_level_that_was_not_tried_is_refused(tmp_path, made):
    made.change_selection(chosen=Level(5))
    with pytest.raises(ValueError, match=r"level 5; expected one of \['3', '2', '1'\]"):
        outcome.load(Workdir(made.write(tmp_path)))


@pytest.mark.parametrize("layout", [None, 1, 99])
def test_records_of_another_layout_are_refused(tmp_path, made, layout):
    path = Workdir(made.write(tmp_path)).record("teacher")
    path.write_text(json.dumps({**json.loads(path.read_text()), "layout": layout}))
    with pytest.raises(TailorError, match=rf"teacher.json has layout {layout or 1} and .* reads"):
        writer.write(tmp_path)


def test_a_damaged_record_is_named(tmp_path, made):
    Workdir(made.write(tmp_path)).record("student").write_text('{"layout": 2, "acc')
    with pytest.raises(TailorError, match=r"student.json is damaged"):
        writer.write(tmp_path)


def test_the_outcome_holds_the_records_as_written(tmp_path, made):
    assert outcome.load(Workdir(made.write(tmp_path))) == made.outcome()


def test_levels_are_in_the_order_tried(tmp_path, made):
    made.change_selection(levels=(CHOSEN, Level(1), Level(3)))
    found = outcome.load(Workdir(made.write(tmp_path)))
    assert list(found.finetuned) == list(found.pruned) == [CHOSEN, Level(1), Level(3)]


def test_levels_that_are_not_of_the_selection_are_left_out(tmp_path, made):
    made.change_selection(levels=(CHOSEN, Level(1)))
    found = outcome.load(Workdir(made.write(tmp_path)))
    assert list(found.finetuned) == [CHOSEN, Level(1)]


def test_of_an_unfinished_run_the_last_network_counts(tmp_path, made):
    kept = (phases.TEACHER, phases.STUDENT, phases.pruned(Level(3)))
    made.keep(*kept)
    workdir = Workdir(made.write(tmp_path))
    found = outcome.load(workdir, finished=False)
    assert found.network == made.phases[phases.STUDENT] and found.network_name == "student"
    assert list(found.phases) == ["teacher", "student"]
    assert list(found.pruned) == [Level(3)] and not found.finetuned
    with pytest.raises(TailorError, match="does not exist"):
        outcome.load(workdir)


def test_the_confusion_matrix_has_true_classes_as_rows(made):
    found = made.outcome()
    expected = [[6, 2, 0], [3, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(found.confusion(found.network), expected)
    np.testing.assert_array_equal(found.confused(), [[0, 2, 0], [3, 0, 0], [0, 0, 0]])


def test_accuracy_by_class_is_teachers_and_networks(made):
    teachers = ((0, 0, 8), (1, 2, 1), (1, 1, 3))
    made.change(phases.TEACHER, confusion={"validation": teachers, "test": teachers})
    images, teacher, network = made.outcome().by_class()
    assert images.tolist() == [8, 4, 0]
    assert teacher.tolist() == [100, 75, 0] and network.tolist() == [75, 25, 0]


def test_without_test_labels_classes_are_those_of_validation_images(made):
    assert made.outcome().split == "test"
    for phase, record in made.phases.items():
        confusion = {"validation": record.confusion["validation"]}
        made.change(phase, confusion=confusion)
    assert made.outcome().split == "validation"


def test_a_level_is_dominated_by_one_as_good_in_both_and_better_in_one(made):
    tuned = {level: phases.finetuned(Level(level)) for level in (3, 2, 1)}
    assert made.outcome().dominating(Level(1)) == CHOSEN  # leaner and more accurate
    assert made.outcome().dominating(CHOSEN) is None
    made.change(tuned[3], accuracy={"validation": 0.9675})  # as accurate as 2, and leaner
    assert made.outcome().dominating(CHOSEN) == Level(3)
    made.change_cost(tuned[3], multiply_adds=580_000)  # the same in both
    assert made.outcome().dominating(CHOSEN) is None


def test_the_search_took_so_many_times_the_epochs_of_one_level(made):
    made.change(phases.finetuned(Level(1)), history=builders.EPOCHS[:1])
    assert made.outcome().search_times == (2 + 2 + 1) / 2


def test_the_seconds_of_a_run_are_those_of_all_phases(made):
    assert made.outcome().seconds == pytest.approx(8 * 1234.4)


def test_a_share_that_is_gone_and_its_words(made):
    found = made.outcome()
    assert found.gone("multiply_adds") == pytest.approx(1 - 580_000 / 1_000_000)
    assert found.fewer("multiply_adds") == "42.0 % fewer multiply-adds"
    made.change_cost(phases.finetuned(CHOSEN), multiply_adds=1_050_000)
    assert made.outcome().fewer("multiply_adds") == "5.0 % more multiply-adds"


def test_the_standard_error_is_of_the_images_on_which_the_networks_differ(made):
    right = {"validation": tuple(range(10))}
    made.change(phases.TEACHER, mistakes=right)
    made.change(phases.finetuned(builders.CHOSEN), mistakes={"validation": (8, 9, 20, 21, 22)})
    found = made.outcome()
    # 3 of 240 images are wrong only in the network, 8 only in the teacher
    expected = (3 + 8 - (8 - 3) ** 2 / 240) ** 0.5 / 240
    assert found.difference_error(found.network) == pytest.approx(expected)


def test_records_of_earlier_versions_have_the_error_of_one_accuracy(made):
    found = made.outcome()
    share = (0.9675 * 240 + 1) / (240 + 2)
    expected = (share * (1 - share) / 240) ** 0.5
    assert found.difference_error(found.network) == pytest.approx(expected)


def test_methods_are_the_teacher_then_baselines_by_name_then_the_tailored_one(tmp_path, made):
    other = builders.phase_record({"validation": 0.8}, builders.cost(1, 2, 3))
    made.phases |= {Phase("residual_adapters"): other, Phase("linear"): other}
    found = outcome.methods(Workdir(made.write(tmp_path)))
    assert list(found) == ["finetune", "linear", "residual_adapters", "nettailor"]
    assert found["finetune"] == made.phases[phases.TEACHER] and found["linear"] == other
    ours = found["nettailor"]
    assert ours.accuracy == {"validation": 0.9675, "test": 0.9625}
    assert ours.seconds == pytest.approx(8 * 1234.4)


def test_an_unfinished_run_has_no_tailored_network(tmp_path, made):
    made.keep(phases.TEACHER, phases.STUDENT)
    assert list(outcome.methods(Workdir(made.write(tmp_path)))) == ["finetune"]


def test_a_folder_without_networks_has_no_methods(tmp_path):
    with pytest.raises(ValueError, match=r"records holds no record of a finished network"):
        outcome.methods(Workdir(tmp_path))
