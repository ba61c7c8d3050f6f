"""Names that other people chose: shown as they are, and nothing else, in every file of a report."""

import base64
import dataclasses
import re
import warnings
import xml.etree.ElementTree

import pytest
from PIL import Image

from tailor_tf.records.records import ExamplesRecord
from tailor_tf.report import page, tables, writer
from tailor_tf.support import drawing
from tailor_tf.support.errors import TailorError
from tests.report.browser import browse, needs_chromium
from tests.report.builders import PIXEL, finished, row

NAMES = {
    "no formula": r"$\foo$",
    "dollars": "$5 and $6",
    "unmatched dollar": "a$",
    "formula behind a backslash": r"\$x\$ $y$",
    "fraction": r"$\frac{1}{0}$",
    "a cell": "a|b",
    "a row": "a |\n| evil | 100 | 100.0 | 100.0 |",
    "a heading": "\n\n# heading",
    "a link": "[a](javascript:alert(1))",
    "an image": "![a](http://localhost/x.png)",
    "code": "`a`",
    "a script": "<script>alert(1)</script>",
    "an attribute": '" onerror="alert(1)',
    "the end of a comment": "--><script>alert(1)</script><!--",
    "the end of a text": "]]></svg><script>alert(1)</script>",
    "an entity": "&lt;&#0;&bad;",
    "a cleared screen": "\x1b[2J\x1b[1;1Hforged",
    "a link of a terminal": "\x1b]8;;http://localhost\x07a\x1b]8;;\x07",
    "a carriage return": "a\rforged",
    "other line breaks": "a\x0b\x0c\x85\u2028\u2029b",
    "zero": "a\0b",
    "the other direction": "\u202egnp.exe\u2066",
    "not UTF-8": "caf\udce9",
    "not a character": "\ufffe\uffff",
    "Japanese": "\u65e5\u672c",
    "Arabic": "\u0645\u0631\u062d\u0628\u0627",
    "an emoji": "\U0001f600",
    "long": "x" * 5000,
    "spaces": "   ",
    "a template": "{{ 7 * 7 }}{% raw %}",
}


def named(*names):
    """Records of a run whose task, network and first classes have names of somebody else."""
    made = finished()
    made.change_settings(classes=[*names, "two", "six"])
    made.change_run(
        task=dataclasses.replace(made.run.task, name=names[0]),
        universal=dataclasses.replace(made.run.universal, name=names[0]),
        environment={names[0]: names[0]},
    )
    made.examples = ExamplesRecord("finetuned_2", "test", ((0, PIXEL),), ((1, 0, PIXEL),))
    return made


def written(folder, *names):
    """The folder of the report of such a run; warnings are errors."""
    workdir = named(*names).write(folder)
    (workdir / "flags.txt").write_bytes(names[0].encode("utf-8", "surrogateescape"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer.write(workdir)
    return workdir / "report"


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def name(request):
    return request.param


def _only_shows(text):
    """Whether a terminal and a browser show every character and do nothing else."""
    unwanted = {*map(chr, range(32)), "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\udce9"}
    return not set(text) & (unwanted - {"\n"})


@pytest.mark.parametrize("first", ["no formula", "not UTF-8", "long"])
def test_every_file_is_whole(first, tmp_path):
    folder = written(tmp_path, NAMES[first], *NAMES.values())
    pictures = sorted(path.stem for path in folder.glob("*.png"))
    assert pictures == ["architecture", "confusion", "gates", "history", "levels"]
    for path in folder.glob("*.png"):
        Image.open(path).load()
    for path in folder.glob("*.svg"):
        xml.etree.ElementTree.parse(path)
    for file in ("index.html", "table.md", "classes.md"):
        text = (folder / file).read_text(encoding="utf-8")
        assert _only_shows(text)
        assert file != "index.html" or "<script" not in text


def test_a_page_shows_names_and_has_no_markup_of_them(name):
    made = named(name)
    outcome = made.outcome()
    drawings = dict.fromkeys(("levels", "history", "confusion"), '<svg width="9pt"></svg>')
    text = page.run_page(outcome, drawings, examples=made.examples, exports=[], flags=name)
    assert _only_shows(text)
    plain = page.run_page(
        named("plain").outcome(), drawings, examples=made.examples, exports=[], flags="plain"
    )
    assert re.findall(r"<[/\w!]+", text) == re.findall(r"<[/\w!]+", plain), "other elements"


def test_tables_have_a_row_for_each_class(name):
    text = tables.classes(named(name, f"{name}2").outcome())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 2 + 1  # header, rule, classes with images, means
    for line in lines:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 5, "other than four cells"
    assert _only_shows(text)
    assert not re.search(r"^#", text, re.MULTILINE)
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[<`]", text)
    assert _only_shows(tables.table(named(name).outcome()))


def test_a_table_shows_the_name_itself():
    made = finished()
    made.change_settings(classes=["a|b", r"c\|d", "six"])
    text = tables.classes(made.outcome())
    assert row(text.replace(r"\|", "/"), "a/b")[1] == "8"
    assert r"| c\\\|d " in text  # CommonMark reads it as the name again


def test_dollars_are_drawn_as_they_are(tmp_path):
    drawn = (written(tmp_path, "$x$ and $y$") / "confusion.svg").read_text()
    assert drawn.count("<!-- $x$ and $y$ -->") == 4  # rows and columns of two matrices


def test_letters_without_a_font_are_said_once(tmp_path, monkeypatch, caplog):
    drawing._fonts_with.cache_clear()
    drawing._warn_of_boxes.cache_clear()
    letters = "\U000f0001\U000f0002\U000f0003"  # of private use: in no font
    monkeypatch.setattr(drawing, "_missing", lambda text: frozenset(letters) & set(text))
    written(tmp_path / "a", letters)
    written(tmp_path / "b", f"{letters}more")
    assert caplog.text.count("No font of this machine has all letters") == 1


def test_a_font_of_the_machine_is_used_where_it_has_a_letter(tmp_path):
    """A letter of a font that comes with Matplotlib and is not its usual one."""
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    usual = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    others = {
        chr(code): entry.name
        for entry in font_manager.fontManager.ttflist
        if "Last Resort" not in entry.name
        for code in font_manager.get_font(entry.fname).get_charmap()
        if code not in usual and chr(code).isprintable()
    }
    letter = min(others)
    figure = Figure()
    text = figure.text(0.5, 0.5, letter)
    plain = figure.text(0.5, 0.1, "plain")
    drawing.save(figure, tmp_path / "a.png")
    families = text.get_fontfamily()
    assert len(families) > len(plain.get_fontfamily())
    paths = [font_manager.findfont(family) for family in families[1:]]
    assert any(ord(letter) in font_manager.get_font(path).get_charmap() for path in paths)


@pytest.mark.parametrize(
    "png",
    [
        '" onerror="alert(1)',
        "PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+",  # <svg onload="alert(1)"/>
        f"{PIXEL} ",
        "",
        "x",
        None,
        7,
        base64.b64encode(b"\x89PNG").decode(),
    ],
)
def test_an_image_of_a_record_that_is_none_is_refused(png):
    made = finished()
    made.examples = ExamplesRecord("finetuned_2", "test", ((0, png),), ())
    with pytest.raises(TailorError, match=r"records/examples\.json is no PNG image"):
        page._examples(made.outcome().classes, made.examples)


def test_a_page_allows_no_scripts():
    text = page.overview_page("title", None, [["a", "b", "c"]])
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert "default-src 'none'" in policy and "script" not in policy


RAN = "document.title='ran'"
SCRIPTS = [
    f"<script>{RAN}</script>",
    f'"><img src=x onerror="{RAN}">',
    f"--><svg onload={RAN}>",
    f"]]></style><script>{RAN}</script>",
    f"javascript:{RAN}",
    f"{{{{ {RAN} }}}}",
]


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("policy", [True, False])
def test_a_browser_runs_nothing_and_reports_nothing(dark, policy, tmp_path):
    """With the page's content policy and, as browsers may not know it, without."""
    folder = written(tmp_path, *SCRIPTS, *NAMES.values())
    path, picture = folder / "index.html", folder / "page.png"
    if not policy:
        path.write_text(path.read_text().replace("Content-Security-Policy", ""))
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = browse(path, 1280, scheme, "--enable-logging=stderr", f"--screenshot={picture}")
    assert done.returncode == 0, done.stderr
    assert not re.findall(r"CONSOLE.*", done.stderr)
    with Image.open(picture) as image:
        corner = image.convert("L").getpixel((2, image.height - 2))
    assert (corner < 100) == dark
    text = browse(path, 1280, scheme, "--dump-dom").stdout
    assert "<title>ran</title>" not in text
