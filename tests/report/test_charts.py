"""Charts as they are drawn: which value stands where, under which label."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import same_color

from tailor_tf.records import phase as phases
from tailor_tf.records.level import Level
from tailor_tf.records.records import EpochRecord
from tailor_tf.report import charts
from tailor_tf.support.drawing import BLUE, DARK, ORANGE, PALE
from tests.report import builders, drawn
from tests.report.builders import CHOSEN, FULL

# Class "one": 8 images, 2 of them taken for "two"; class "two": 4 images, 1 taken for "one".
TEACHERS = ((0, 0, 6), (0, 1, 2), (1, 1, 3), (1, 0, 1))


def _confusion(made):
    made.change(phases.TEACHER, confusion={"test": TEACHERS})
    return drawn.laid_out(charts.confusion_figure(made.outcome()))


def _share(axes, *, true, predicted):
    """The percentage in the row of a true class and the column of a predicted one."""
    return drawn.value_at(axes, drawn.columns(axes)[predicted], drawn.rows(axes)[true])


def test_true_classes_are_rows_and_predicted_ones_columns(made):
    teacher, network, _ = _confusion(made).axes
    for axes in (teacher, network):
        assert list(drawn.rows(axes)) == ["one", "two", "six"]  # from top to bottom
        assert list(drawn.columns(axes)) == ["one", "two", "six"]  # from left to right
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true class")
    assert _share(teacher, true="one", predicted="two") == pytest.approx(100 * 2 / 8)
    assert _share(teacher, true="two", predicted="one") == pytest.approx(100 * 1 / 4)
    assert _share(network, true="one", predicted="two") == pytest.approx(100 * 2 / 8)
    assert _share(network, true="two", predicted="one") == pytest.approx(100 * 3 / 4)
    assert _share(network, true="two", predicted="two") == pytest.approx(100 * 1 / 4)
    assert _share(network, true="six", predicted="six") == 0  # no image of it


def test_confusions_of_teacher_and_network_side_by_side(made):
    figure = _confusion(made)
    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert titles == [f"teacher, {100 * 9 / 12:.2f} %", f"tailored, {100 * 7 / 12:.2f} %"]
    assert figure.get_suptitle() == "digits, test images"


def test_of_a_teacher_alone_there_is_one_confusion_matrix(made):
    made.keep(phases.TEACHER)
    matrix, scale = charts.confusion_figure(made.outcome()).axes
    assert matrix.get_title().startswith("teacher") and not scale.get_title()


@pytest.mark.parametrize(("classes", "labels"), [(45, 45), (46, 0)])
def test_names_that_are_too_many_to_be_read_are_left_out(made, classes, labels):
    made.change_settings(classes=[f"class {index}" for index in range(classes)])
    matrix = charts.confusion_figure(made.outcome()).axes[0]
    assert len(matrix.get_xticks()) == len(matrix.get_yticks()) == labels


def _levels(made):
    figure = charts.levels_figure(made.outcome())
    return figure, figure.axes[0]


def test_the_tolerance_is_below_the_teacher(made):
    figure, axes = _levels(made)
    found = drawn.lines(axes)
    assert list(found) == ["teacher", "within the tolerance"] == drawn.legend(figure)
    assert set(found["teacher"].get_ydata()) == {97.0}
    assert set(found["within the tolerance"].get_ydata()) == {97.0 - 0.5}
    assert not axes.yaxis_inverted()


def test_levels_that_were_trained_together_are_a_line_before_fine_tuning(made):
    made.train_together()
    line = drawn.lines(_levels(made)[1])["levels before fine-tuning"]
    np.testing.assert_allclose(line.get_xdata(), [0.60, 0.59, 0.58, 0.57, 0.56])
    np.testing.assert_allclose(line.get_ydata(), [95.0, 94.0, 93.0, 92.0, 91.0])


def test_a_zero_tolerance_is_the_teachers_line_and_none_is_no_line(made):
    made.change_run(tolerance=0.0)
    assert set(drawn.lines(_levels(made)[1])["within the tolerance"].get_ydata()) == {97.0}
    made.change_run(tolerance=None)
    assert list(drawn.lines(_levels(made)[1])) == ["teacher"]


def test_the_budget_is_a_vertical_line_in_the_unit_of_the_axis(made):
    made.change_run(budget={"multiply_adds": 590_000, "parameters": 40_000})
    axes = _levels(made)[1]
    budget = drawn.lines(axes)["budget"]
    assert set(budget.get_xdata()) == {0.59} and len(set(budget.get_ydata())) > 1
    assert axes.get_xlabel() == "multiply-adds (M)"


def test_a_budget_of_something_else_is_no_line(made):
    made.change_run(budget={"parameters": 40_000})
    assert "budget" not in drawn.lines(_levels(made)[1])


def test_truncated_networks_stand_beside_the_levels(made):
    made.phases[phases.truncated(3)] = made.phases[phases.TEACHER]
    made.change_cost(phases.truncated(3), multiply_adds=700_000, task_parameters=40_000)
    figure = _levels(made)[0]
    for axes, place in zip(figure.axes, (0.7, 0.04), strict=True):
        x, y, _, color = _points(axes)["first 3 blocks"]
        assert (x, y, color) == (place, 97.0, PALE)
        assert color not in {c for name, (*_, c) in _points(axes).items() if "first" not in name}
    assert figure.axes[1].get_xlabel() == "task parameters (M)"


def _points(axes):
    """Place, standard error and color of each network in the chart, by its label."""
    found = {}
    for bars, label in zip(axes.containers, axes.texts, strict=True):
        point, _, (segments,) = bars.lines
        x, y = point.get_xdata()[0], point.get_ydata()[0]
        assert label.xy == (x, y), "a label beside another point"
        (below, above) = segments.get_segments()[0][:, 1]
        assert above - y == pytest.approx(y - below)
        found[label.get_text()] = x, y, above - y, point.get_color()
    return found


def test_each_level_is_a_point_with_one_standard_error(made):
    found = _points(_levels(made)[1])
    assert list(found) == ["teacher", "student", "3", "2 (chosen)", "1"]
    expected = {
        "teacher": (1.0, 97.0),
        "student": (1.1, 97.5),
        "3": (0.57, 90.0),
        "2 (chosen)": (0.58, 96.75),
        "1": (0.59, 92.0),
    }
    for name, (amount, accuracy) in expected.items():
        x, y, error, _ = found[name]
        assert (x, y) == (pytest.approx(amount), pytest.approx(accuracy))
        share = (accuracy / 100 * 240 + 1) / (240 + 2)  # of 240 validation images
        assert error == pytest.approx(100 * (share * (1 - share) / 240) ** 0.5)


def test_teacher_and_chosen_level_stand_out(made):
    colors = {name: color for name, (*_, color) in _points(_levels(made)[1]).items()}
    expected = {"teacher": DARK, "student": BLUE, "3": BLUE, "2 (chosen)": ORANGE, "1": BLUE}
    assert all(same_color(colors[name], color) for name, color in expected.items())


@pytest.mark.parametrize(
    ("complexity", "label", "teachers"),
    [("parameters", "parameters (M)", 0.051), ("latency_ms", "predicted latency (ms)", 2.5)],
)
def test_the_axis_shows_the_complexity_of_the_run(made, complexity, label, teachers):
    for phase in made.phases:
        made.change_cost(phase, latency_ms=2.5)
    made.change_run(complexity=complexity)
    axes = _levels(made)[1]
    assert axes.get_xlabel() == label
    assert _points(axes)["teacher"][0] == pytest.approx(teachers)


def test_history_has_a_line_for_each_phase(made):
    epochs = tuple(
        EpochRecord({"loss": loss, "accuracy": 0.1, "validation_accuracy": accuracy})
        for loss, accuracy in ((3.0, 0.2), (2.0, 0.4), (1.0, 0.8))
    )
    made.change(phases.finetuned(CHOSEN), history=epochs)
    figure = charts.history_figure(made.outcome())
    loss, accuracy = map(drawn.lines, figure.axes)
    assert list(loss) == list(accuracy) == drawn.legend(figure)
    assert list(loss) == [
        "teacher",
        "student",
        "fine-tuned, level 3",
        "fine-tuned, level 2 (chosen)",
        "fine-tuned, level 1",
    ]
    chosen = "fine-tuned, level 2 (chosen)"
    assert list(loss[chosen].get_xdata()) == list(accuracy[chosen].get_xdata()) == [1, 2, 3]
    assert list(loss[chosen].get_ydata()) == [3.0, 2.0, 1.0]
    assert list(accuracy[chosen].get_ydata()) == [20.0, 40.0, 80.0]
    assert list(loss["teacher"].get_ydata()) == [1.5, 0.5]
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "training loss",
        "validation accuracy (%)",
    ]


def test_the_chosen_level_is_the_solid_line_among_the_levels(made):
    lines = drawn.lines(charts.history_figure(made.outcome()).axes[0])
    styles = {name: line.get_linestyle() for name, line in lines.items() if "level" in name}
    assert [style == "-" for style in styles.values()] == [False, True, False]


def test_an_epoch_without_a_figure_is_a_gap(made):
    epochs = (EpochRecord({"validation_accuracy": 0.5}), builders.EPOCHS[1])
    made.change(phases.TEACHER, history=epochs)
    loss = drawn.lines(charts.history_figure(made.outcome()).axes[0])["teacher"]
    np.testing.assert_array_equal(loss.get_ydata(), [np.nan, 0.5])


def _gate(layer, epoch):
    return layer / 10 + epoch / 100


def _gates(made):
    """The picture of a student whose gate of a block says which layer and epoch it is of."""
    history = tuple(
        EpochRecord({}, tuple(_gate(p.target, epoch) if p.universal else 0.9 for p in FULL.paths))
        for epoch in (1, 2, 3)
    )
    made.change(phases.STUDENT, history=history)
    return drawn.laid_out(charts.gates_figure(made.outcome())).axes[0]


def test_gates_are_drawn_by_layer_from_top_to_bottom_and_epoch_from_left_to_right(made):
    axes = _gates(made)
    rows = drawn.rows(axes)
    assert list(rows) == ["1", "2", "removed  3", "removed  4"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch of the student", "layer")
    assert not axes.xaxis_inverted()
    for layer, row in enumerate(rows.values(), start=1):
        for epoch in (1, 2, 3):
            assert drawn.value_at(axes, epoch, row) == pytest.approx(_gate(layer, epoch))


def test_the_darkest_gate_is_one_and_the_palest_zero(made):
    assert _gates(made).images[0].get_clim() == (0, 1)


def _overview(*outcomes):
    return drawn.laid_out(charts.overview_figure(outcomes)).axes[0]


def _task(name, accuracy, *, multiply_adds, parameters):
    made = builders.finished()
    made.change_task(name)
    made.change(phases.TEACHER, accuracy={"validation": accuracy})
    tuned = phases.finetuned(CHOSEN)
    made.change_cost(tuned, multiply_adds=multiply_adds, parameters=parameters)
    return made.outcome()


def test_the_overview_shows_easy_tasks_first_with_their_own_bars():
    hard = _task("textures", 0.65, multiply_adds=900_000, parameters=40_800)
    easy = _task("digits", 0.97, multiply_adds=300_000, parameters=10_200)
    axes = _overview(hard, easy)
    rows = drawn.rows(axes)
    assert list(rows) == ["digits, teacher 97.0 %", "textures, teacher 65.0 %"]
    multiply_adds, parameters = axes.containers
    assert [bars.get_label() for bars in axes.containers] == ["multiply-adds", "parameters"]
    # 300_000 and 900_000 of 1_000_000; 10_200 and 40_800 of 51_000
    assert [bar.get_width() for bar in multiply_adds] == pytest.approx([30, 90])
    assert [bar.get_width() for bar in parameters] == pytest.approx([20, 80])
    for bars in axes.containers:
        for bar, place in zip(bars, rows.values(), strict=True):
            assert abs(bar.get_y() + bar.get_height() / 2 - place) < 0.5
    assert drawn.texts(axes) == ["30", "90", "20", "80"]


def test_level_names_carry_the_number_of_proxies(made):
    tuned = made.phases[phases.finetuned(CHOSEN)]
    level = Level(2, 8)
    made.phases[phases.finetuned(level)] = dataclasses.replace(tuned)
    assert "2_8" in _points(_levels(made)[1])
