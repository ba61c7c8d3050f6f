"""The pages: whole, self-contained, with the values of the records as text."""

import dataclasses
import html.parser
import json
import re

import pytest

from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.records import phase as phases
from tailor_tf.records.records import EpochRecord, ExamplesRecord, LatencyRecord
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import page, svg, writer
from tests.report.browser import browse, needs_chromium
from tests.report.builders import PIXEL, finished

VOID = {"meta", "img", "link", "br", "path", "use", "rect", "image"}


class _Reader(html.parser.HTMLParser):
    """Collects texts, addresses, ids and rows that stand out; checks that tags close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.addresses, self.ids = [], [], [], []
        self.chosen = []  # texts of the rows that stand out

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class")))
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attrs):
        if tag not in VOID:
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append(data)
        if ("tr", "chosen") in self.open and data.strip():
            self.chosen.append(data)


def _read(path):
    return _parse(path.read_text())


def _parse(text):
    reader = _Reader()
    reader.feed(text)
    assert not reader.open
    return reader


def _page(made, folder):
    """Writes the report of a run, and returns its page."""
    writer.write(made.write(folder))
    return folder / "report" / "index.html"


def _without_pictures(made):
    """The text of a run's page with empty pictures."""
    outcome = made.outcome()
    names = ("levels", "history", "confusion", "architecture", "gates")
    drawings = {name: f'<svg width="9pt"><desc>of {name}</desc></svg>' for name in names}
    return page.run_page(outcome, drawings, examples=made.examples, exports=[], flags=None)


def test_page_is_whole_and_needs_no_other_file(tmp_path, made):
    reader = _read(_page(made, tmp_path))
    assert all(address.startswith(("#", "data:")) for address in reader.addresses)
    assert len(set(reader.ids)) == len(reader.ids), "two elements of one id"
    within = {address[1:] for address in reader.addresses if address.startswith("#")}
    assert within <= set(reader.ids)
    assert "<style>\n:root {" in (tmp_path / "report" / "index.html").read_text()


def test_page_says_what_the_records_say(tmp_path, made):
    Workdir(tmp_path).flags.write_text("--task=digits\n")
    texts = _read(_page(made, tmp_path)).texts
    for expected in ("96.75 %", "teacher 97.00 %", "42.0 %", "2 of 4", "--task=digits\n", "3.11.7"):
        assert expected in texts, expected
    assert "0.580 M of 1.00 M" in texts  # multiply-adds
    assert "block4, 2x2x16, 0.250 M multiply-adds, removed" in texts
    assert "block2, 4x4x8, 0.125 M multiply-adds, gate 0.700" in texts


def test_the_pointer_finds_the_figures_of_the_path_it_rests_on(tmp_path, made):
    text = _page(made, tmp_path).read_text()
    assert '<g id="block2"><title>block2, 4x4x8' in text
    assert '<g id="block4_removed"><title>block4, 2x2x16' in text


def test_the_pointer_finds_latencies_where_the_complexity_is_one(made):
    made.change_run(complexity="latency_ms", path_complexities={Path.block(2): 0.25})
    outcome = dataclasses.replace(made.outcome(), selection=None)  # the student with all paths
    titles = page.path_titles(outcome)
    assert titles == {"block2": "block2, 4x4x8, 0.250 ms, gate 0.500"}


def test_the_tailored_network_and_its_level_stand_out(made):
    chosen = _parse(_without_pictures(made)).chosen
    assert chosen[:2] == ["fine-tuned", "96.75"]
    assert chosen[-1] == "chosen" and chosen.count("96.75") == 2
    made.keep(phases.TEACHER, phases.STUDENT)
    assert not _parse(_without_pictures(made)).chosen


def test_latency_measured_and_predicted(made):
    machine = {"runtime": "LiteRT 2", "precision": "int8", "threads": "1", "processor": "Some"}
    for phase in made.phases:
        made.change_cost(phase, latency_ms=1.0)
    made.change_selection(latency=LatencyRecord(0.7, 0.731, machine))
    made.change_run(complexity="latency_ms")
    texts = _parse(_without_pictures(made)).texts
    assert "0.731 ms" in texts and "predicted 0.700 ms" in texts


def test_each_picture_is_in_its_section(made):
    found = re.findall(r"<h2>([^<]*)</h2>|<desc>of (\w+)</desc>", _without_pictures(made))
    headings = [heading or f"of {picture}" for heading, picture in found]
    assert headings == [
        *("Architecture", "of architecture", "Phases"),
        *("Accuracy against complexity", "of levels"),
        *("Training", "of history", "Gates over time", "of gates"),
        *("Classes, on test images", "of confusion", "Flags", "Environment"),
    ]


def test_classes_from_the_least_accurate_to_the_most(made):
    teachers = ((0, 0, 8), (1, 1, 4))
    made.change(phases.TEACHER, confusion={"test": teachers})
    text = _without_pictures(made)
    body = text[text.index("Classes, on test images") :]
    names = re.findall(r'<td class="words">(\w+)</td>', body)[:3]
    assert names == ["six", "two", "one"]  # none, a quarter, three quarters are right
    for taken_for in ("one (3)", "two (2)"):
        assert f"<td>{taken_for}</td>" in body


def test_summaries_of_exports(tmp_path, made):
    for version in ("1", "2"):
        folder = Workdir(tmp_path).exports.files("digits") / version
        folder.mkdir(parents=True)
        (folder / "summary.md").write_text(f"| <artifact> {version} |\n")
    texts = _read(_page(made, tmp_path)).texts
    for version in ("1", "2"):
        assert f"Exports, version {version}" in texts and f"| <artifact> {version} |\n" in texts


def test_names_are_text_and_no_markup(tmp_path, made):
    made.change_settings(classes=["<script>alert(1)</script>", "a & b", '"'])
    made.change_run(task=dataclasses.replace(made.run.task, name="<b>digits</b>"))
    reader = _read(_page(made, tmp_path))
    assert "<script>alert(1)</script>" in reader.texts
    assert "<b>digits</b> on tiny" in reader.texts
    assert "<script" not in (tmp_path / "report" / "index.html").read_text()


def test_titles_and_labels_of_a_picture_are_text_and_no_markup():
    picture = '<?xml?><svg width="9pt"><g id="block1"/><g id="block1"></g><g id="axes"/></svg>'
    found = str(svg.inline(picture, 'a "<b>"', {"block1": "<script>"}))
    assert found.startswith('<svg role="img" aria-label="a &#34;&lt;b&gt;&#34;" width')
    assert '<g id="block1"><title>&lt;script&gt;</title></g>' in found
    assert '<g id="ab-axes"/>' in found


@pytest.mark.parametrize(("points", "style"), [(1000, ""), (1001, ' style="min-width: 701pt"')])
def test_a_wide_picture_does_not_shrink_until_nobody_can_read_it(points, style):
    found = str(svg.inline(f'<svg width="{points}pt"></svg>', "label", {}))
    assert found.startswith(f'<svg role="img" aria-label="label"{style} width')


def test_overview_from_easy_to_hard(tmp_path, made):
    made.change_task("textures")
    made.change(phases.TEACHER, accuracy={"validation": 0.65, "test": 0.64})
    folders = [made.write(tmp_path / "hard"), finished().write(tmp_path / "easy")]
    writer.write_overview(folders, tmp_path / "report" / "index.html")
    text = (tmp_path / "report" / "index.html").read_text()
    assert all(f"{name}, teacher" in text for name in ("digits", "textures"))  # matplotlib says it
    assert text.index("digits, teacher 97.0 %") < text.index("textures, teacher 65.0 %")
    texts = _read(tmp_path / "report" / "index.html").texts
    assert "2 tailored networks" in texts
    cells = [cell for cell in texts if cell in ("finetune", "nettailor")]
    assert cells == 2 * ["finetune", "nettailor"]


def test_example_images_and_a_class_that_has_none(made):
    made.examples = ExamplesRecord(
        "finetuned_2", "test", classes=((0, PIXEL), (1, PIXEL)), confusions=((1, 0, PIXEL),)
    )
    reader = _parse(_without_pictures(made))
    assert "two, taken for one" in reader.texts and "Not shown: six." in reader.texts
    address = f"data:image/png;base64,{PIXEL}"
    assert reader.addresses.count(address) == 3


def test_examples_without_confusions(made):
    known = tuple((label, PIXEL) for label in range(3))
    made.examples = ExamplesRecord("finetuned_2", "test", classes=known, confusions=())
    texts = _parse(_without_pictures(made)).texts
    assert "One image of each class" in texts and "Confused" not in texts
    assert not any("Not shown" in text for text in texts)


def _deepen(made, blocks):
    """Gives the network many blocks, every third of them removed."""
    full = Architecture.full(blocks, 3)
    kept = full.without(path for path in full.paths if path.universal and path.target % 3 == 0)
    shapes = ((8, 8, 4),) * (blocks + 1)
    universal = dataclasses.replace(made.run.universal, num_blocks=blocks, node_shapes=shapes)
    made.change_run(universal=universal)
    for phase in made.phases:
        if phase != phases.TEACHER:
            paths = full if phase == phases.STUDENT else kept
            gates = dict.fromkeys(paths.paths, 0.5)
            made.change(phase, architecture=paths, gates=gates, restored=())
    gates = (0.5,) * len(full.paths)
    history = tuple(
        EpochRecord(epoch.figures, gates) for epoch in made.phases[phases.STUDENT].history
    )
    made.change(phases.STUDENT, history=history)


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(("classes", "blocks"), [(3, 4), (200, 4), (3, 54)])
def test_a_browser_shows_it_without_an_error(tmp_path, made, width, classes, blocks):
    made.change_settings(classes=[f"class number {index}" for index in range(classes)])
    shown = tuple((label, PIXEL) for label in range(classes - 1))
    made.examples = ExamplesRecord("finetuned_2", "test", shown, confusions=((1, 0, PIXEL),))
    if blocks != 4:
        _deepen(made, blocks)
    path, picture = _page(made, tmp_path), tmp_path / "page.png"
    done = browse(path, width, "--enable-logging=stderr", f"--screenshot={picture}")
    assert done.returncode == 0 and picture.stat().st_size > 10_000
    assert not re.findall(r"CONSOLE.*", done.stderr)
    # Only parts that scroll by themselves are wider than the window.
    probe = tmp_path / "probe.html"
    script = "<script>document.title=document.documentElement.scrollWidth</script></body>"
    page_with_scripts = path.read_text().replace("Content-Security-Policy", "")
    probe.write_text(page_with_scripts.replace("</body>", script))
    text = browse(probe, width, "--dump-dom").stdout
    assert json.loads(re.search(r"<title>(\d+)</title>", text)[1]) <= max(width, 500)
