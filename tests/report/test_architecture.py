"""The picture of the architecture, by the artists in it."""

import dataclasses
import itertools
import re

import pytest
from matplotlib.colors import same_color

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.records import phase as phases
from tailor_tf.report.architecture import architecture_figure
from tailor_tf.support.drawing import BLUE, DARK, ORANGE, PALE, save
from tests.report import drawn
from tests.report.builders import CHOSEN, FULL, GATES, KEPT


def _axes(made):
    return drawn.laid_out(architecture_figure(made.outcome())).axes[0]


def _ids_of_paths(axes):
    return {name for name in drawn.artists(axes) if name.startswith("block")}


def test_the_picture_has_one_artist_per_path_with_its_state(made):
    assert _ids_of_paths(_axes(made)) == {
        path.name if path in KEPT.paths else f"{path.name}_removed" for path in FULL.paths
    }


def test_identities_are_drawn_with_their_state(made):
    """Kept beside block 1, kept instead of block 3, and removed beside block 2."""
    made.change(
        phases.STUDENT, architecture=FULL.with_paths((*FULL.paths, *map(Path.same, (1, 2, 3))))
    )
    kept = KEPT.with_paths((*KEPT.paths, Path.same(1), Path.same(3)))
    gates = {**GATES, Path.same(1): 0.4, Path.same(3): 1.0}
    made.change(phases.finetuned(CHOSEN), architecture=kept, gates=gates)
    artists = drawn.artists(_axes(made))
    names = ("block1_identity", "block3_identity", "block2_identity_removed")
    beside, instead, removed = (artists[name] for name in names)
    assert all(same_color(line.get_color(), DARK) for line in (beside, instead))
    assert same_color(removed.get_color(), PALE)
    assert (instead.get_xdata()[0], instead.get_xdata()[-1]) == (2.5, 3.5)
    assert max(instead.get_ydata()) < 0 < min(beside.get_ydata())


def test_ids_stand_in_the_svg_file(tmp_path, made):
    save(architecture_figure(made.outcome()), tmp_path / "picture.svg")
    text = (tmp_path / "picture.svg").read_text()
    found = re.findall(r'id="(block\d+(?:_proxy\d+|_identity)?(?:_removed)?)"', text)
    assert len(found) == len(set(found)) and set(found) == _ids_of_paths(_axes(made))


def test_a_student_before_pruning_has_lost_nothing(made):
    made.keep(phases.TEACHER, phases.STUDENT)
    axes = _axes(made)
    assert _ids_of_paths(axes) == {path.name for path in FULL.paths}
    assert not any("*" in text for text in drawn.texts(axes))


def test_blocks_stand_in_the_order_of_the_layers(made):
    artists = drawn.artists(_axes(made))
    names = ("stem", "block1", "block2", "block3_removed", "block4_removed", "classifier")
    boxes = [artists[name].get_extents() for name in names]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_the_shade_of_a_block_is_its_gate(made):
    artists = drawn.artists(_axes(made))
    full, partly = artists["block1"].get_facecolor(), artists["block2"].get_facecolor()
    assert full[:3] == partly[:3] and same_color(full[:3], BLUE)
    assert full[3] == pytest.approx(1) and partly[3] == pytest.approx(0.12 + 0.88 * 0.7)
    assert same_color(artists["block3_removed"].get_facecolor(), "white")


def test_arcs_lead_from_source_to_target(made):
    axes = _axes(made)
    for path in FULL.proxies:
        name = path.name if path in GATES else f"{path.name}_removed"
        arc = drawn.artists(axes)[name]
        ends = arc.get_path().vertices[[0, 3], 0]
        # x_l stands half a layer behind block l; arrow heads end a little before it
        assert ends[0] == pytest.approx(path.source + 0.5, abs=0.1)
        assert ends[1] == pytest.approx(path.target + 0.5, abs=0.25)
        color = ORANGE if path in GATES else PALE
        assert same_color(arc.get_edgecolor()[:3], color)


def test_the_width_of_an_arc_grows_with_its_gate(made):
    artists = drawn.artists(_axes(made))
    widths = [artists[name].get_linewidth() for name in ("block2_proxy0", "block4_proxy2")]
    assert widths == pytest.approx([0.8 + 2.4 * 0.3, 0.8 + 2.4 * 1.0])


def test_gates_are_written_beside_their_paths(made):
    axes = _axes(made)
    texts = {text.get_text(): text.get_position() for text in axes.texts}
    assert texts["0.70"][0] == 2  # block 2
    assert texts["0.30"][0] == pytest.approx(1.5)  # between x_0 and x_2
    # the proxy from x_2 into layer 4 was kept against its gate
    assert texts["1.00*"][0] == pytest.approx(3.5)


def test_the_star_is_explained_where_there_is_one(made):
    star = "kept against its gate: nothing else connects"
    assert star in drawn.legend(architecture_figure(made.outcome()))
    made.change(phases.pruned(CHOSEN), restored=())
    assert star not in drawn.legend(architecture_figure(made.outcome()))
    assert "1.00*" not in drawn.texts(_axes(made))


def test_nodes_that_no_path_reaches_are_hollow(made):
    hollow = {
        float(line.get_xdata()[0]): line.get_fillstyle() == "none"
        for line in _axes(made).lines
        if line.get_marker() == "o"
    }
    # nothing leads into layer 3, whose output is x_3
    assert hollow == {0.5: False, 1.5: False, 2.5: False, 3.5: True, 4.5: False}


def test_bands_name_the_resolutions(made):
    axes = _axes(made)
    places = {text.get_text(): text.get_position()[0] for text in axes.texts}
    bands = {text: x for text, x in places.items() if "channels" in text}
    # x_0 and x_1; x_2 and x_3; x_4: from half a layer before the first to half a layer behind
    assert bands == {"8x8\n4 channels": 0.5, "4x4\n8 channels": 2.5, "2x2\n16 channels": 4}


def test_the_title_says_what_is_left(made):
    (title,) = [text.get_text() for text in architecture_figure(made.outcome()).texts]
    assert title == (
        "digits on tiny: 2 of 4 universal blocks kept, "
        "42.0 % fewer multiply-adds than the whole network"
    )


def test_a_dense_picture_leaves_out_the_longest_removed_proxies(made):
    dense = Architecture.full(12, max_skip=None)
    kept = Architecture(12, (*map(Path.block, range(1, 13)), Path.proxy(12, source=0)))
    shapes = ((8, 8, 4),) * 13
    universal = dataclasses.replace(made.run.universal, num_blocks=12, node_shapes=shapes)
    made.change_run(universal=universal)
    made.change(phases.STUDENT, architecture=dense)
    gates = dict.fromkeys(kept.paths, 0.5)
    made.change(phases.finetuned(CHOSEN), architecture=kept, gates=gates)
    found = _ids_of_paths(_axes(made))
    assert {path.name for path in kept.paths} <= found
    removed = {name for name in found if name.endswith("_removed")}
    assert len(removed) == 4 * 12  # of 12 * 13 / 2 - 1
    assert "block2_proxy1_removed" in removed and "block12_proxy1_removed" not in removed
    hidden = 12 * 13 // 2 - 1 - 4 * 12
    legend = drawn.legend(architecture_figure(made.outcome()))
    assert f"removed proxy (the {hidden} longest are not drawn)" in legend
