"""What pipelines.predict prints for names of files and classes that somebody else chose."""

import contextlib
import io
import os

from PIL import Image

from tests.programs import in_fork, parsed

NAMES = ("a\nforged\tcat\t1.0000.png", "\x1b[2J.png", os.fsdecode(b"caf\xe9.png"))
CLASS = "cat\x1b]0;title\x07\n"


def _printed(folder):
    from export.serving import client
    from pipelines import predict

    def classify(images):
        if images[0].endswith(b"bad"):
            raise client.RefusedError("not an\nimage\x1b[2J")
        return [client.Answer(CLASS, 0.5) for _ in images]

    predict.classifier = lambda: classify
    parsed("pipelines.predict", [["--artifact=missing"]])
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        contextlib.suppress(predict.TailorError),
    ):
        predict.main(["predict", folder])
    return output.getvalue(), errors.getvalue()


def test_every_image_is_one_line_of_three_cells(tmp_path):
    for name in NAMES:
        Image.new("RGB", (2, 2)).save(tmp_path / name, format="png")
    output, _ = in_fork(_printed, str(tmp_path))
    lines = output.splitlines()
    assert len(lines) == len(NAMES)
    assert all(
        len(line.split("\t")) == 3 and line.replace("\t", "").isprintable() for line in lines
    )
    assert {line.split("\t")[1] for line in lines} == {r"cat\x1b]0;title\x07\n"}
    output.encode("utf-8")


def test_every_refusal_is_one_line(tmp_path):
    (tmp_path / "a\x1b.png").write_bytes(b"bad")
    output, errors = in_fork(_printed, str(tmp_path))
    assert output == ""
    assert errors == f"{tmp_path}/a\\x1b.png: not an image\\x1b[2J\n"
