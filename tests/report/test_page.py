"""The page of a run: whole, self-contained, and what it says is what the records say."""

import copy
import html.parser
import json
import re
import shutil
import subprocess

import pytest

from tailor_tf.method.pruning import close
from tailor_tf.network.architecture import Architecture
from tailor_tf.report import writer
from tests.report.test_report import _records, _write

VOID = {"meta", "img", "link", "br", "path", "use", "rect", "image"}
CHROMIUM = shutil.which("chromium")


class _Reader(html.parser.HTMLParser):
    """Collects texts, addresses and identities; checks that tags close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.addresses, self.identities = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action"):
                self.addresses.append(value)
            if name == "id":
                self.identities.append(value)

    def handle_startendtag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def _read(folder):
    reader = _Reader()
    reader.feed((folder / "report" / "index.html").read_text())
    assert not reader.open
    return reader


@pytest.fixture
def records():
    return _records()


def test_page_is_whole_and_needs_no_other_file(tmp_path, records):
    writer.write(_write(tmp_path, records))
    reader = _read(tmp_path)
    assert all(address.startswith(("#", "data:")) for address in reader.addresses)
    assert len(set(reader.identities)) == len(reader.identities), "two elements of one identity"
    within = {address[1:] for address in reader.addresses if address.startswith("#")}
    assert within <= set(reader.identities)


def test_page_says_what_the_records_say(tmp_path, records):
    writer.write(_write(tmp_path, records))
    (tmp_path / "flags.txt").write_text("--task=digits\n")
    writer.write(tmp_path)
    texts = _read(tmp_path).texts
    for expected in ("96.75 %", "teacher 97.00 %", "42.0 %", "2 of 4", "--task=digits\n", "3.11.7"):
        assert expected in texts, expected
    assert "block4, 2x2x16, 0.250 M multiply-adds, removed" in texts
    assert "block2, 4x4x8, 0.125 M multiply-adds, gate 0.700" in texts


def test_names_are_text_and_no_markup(tmp_path, records):
    for record in records.values():
        if "settings" in record:
            record["settings"]["classes"] = ["<script>alert(1)</script>", "a & b", '"']
    records["run"]["task"]["name"] = "<b>digits</b>"
    writer.write(_write(tmp_path, records))
    reader = _read(tmp_path)
    assert "<script>alert(1)</script>" in reader.texts
    assert "<b>digits</b> on tiny" in reader.texts
    assert "<script" not in (tmp_path / "report" / "index.html").read_text()


def test_overview_from_easy_to_hard(tmp_path, records):
    hard = copy.deepcopy(records)
    hard["run"]["task"]["name"] = "textures"
    for record in hard.values():
        if "settings" in record:
            record["settings"]["task"] = "textures"
    hard["teacher"]["accuracy"]["validation"] = 0.65
    folders = [_write(tmp_path / "hard", hard), _write(tmp_path / "easy", records)]
    (tmp_path / "report").mkdir()
    writer.write_overview(folders, tmp_path / "report" / "index.html")
    text = (tmp_path / "report" / "index.html").read_text()
    assert all(f"{name}, teacher" in text for name in ("digits", "textures"))  # matplotlib says it
    assert text.index("digits, teacher 97.0 %") < text.index("textures, teacher 65.0 %")
    cells = [cell for cell in _read(tmp_path).texts if cell in ("finetune", "nettailor")]
    assert cells == 2 * ["finetune", "nettailor"]


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_example_images_and_a_class_that_has_none(tmp_path, records):
    images = {"classes": [[0, PIXEL], [1, PIXEL]], "confusions": [[1, 0, PIXEL]]}
    writer.write(_write(tmp_path, records | {"examples": images}))
    texts = _read(tmp_path).texts
    assert "two, taken for one" in texts and "Not shown: six." in texts
    assert (tmp_path / "report" / "index.html").read_text().count(PIXEL) == 3


def _deepen(records, blocks):
    """Makes the records those of a network with many blocks, every third of them removed."""
    full = Architecture.full(blocks, 3)
    kept = close(
        full.without(path for path in full.paths if path.universal and path.target % 3 == 0)
    )
    records["run"]["universal"] |= {"num_blocks": blocks, "node_shapes": [[8, 8, 4]] * (blocks + 1)}
    for name, record in records.items():
        if name.startswith(("student", "pruned", "finetuned")):
            paths = full if name == "student" else kept
            record["architecture"] = paths.as_dict()
            record["gates"] = [[*path, 0.5] for path in paths.paths]
            record["restored"] = []
    for epoch in records["student"]["history"]:
        epoch["gates"] = [0.5] * len(full.paths)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(("classes", "blocks"), [(3, 4), (200, 4), (3, 54)])
def test_a_browser_shows_it_without_an_error(tmp_path, records, width, classes, blocks):
    names = [f"class number {index}" for index in range(classes)]
    for record in records.values():
        if "settings" in record:
            record["settings"]["classes"] = names
    shown = [[label, PIXEL] for label in range(classes - 1)]
    records["examples"] = {"classes": shown, "confusions": [[1, 0, PIXEL]]}
    if blocks != 4:
        _deepen(records, blocks)
    writer.write(_write(tmp_path, records))
    page, picture = tmp_path / "report" / "index.html", tmp_path / "page.png"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--window-size={width},2000", f"--screenshot={picture}"]
    done = subprocess.run([*command, f"file://{page}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and picture.stat().st_size > 10_000
    assert not re.findall(r"CONSOLE.*", done.stderr)
    # Nothing but what scrolls by itself is wider than the window.
    probe = tmp_path / "probe.html"
    script = "<script>document.title=document.documentElement.scrollWidth</script></body>"
    probe.write_text(page.read_text().replace("</body>", script))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--window-size={width},2000", f"file://{probe}"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert json.loads(re.search(r"<title>(\d+)</title>", text)[1]) <= max(width, 500)
