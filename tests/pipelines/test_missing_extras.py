"""What the programs say where only the packages for training are installed."""

import pytest

from tailor_tf.support.extras import EXTRAS
from tests.programs import program

WITHOUT = frozenset().union(*EXTRAS.values())
IMAGE = "docs/digits.svg"  # is refused after the classifier is loaded, if it were


@pytest.mark.parametrize(
    ("name", "flags", "extra"),
    [
        ("predict", ["--artifact={folder}/a.onnx", IMAGE], "export"),
        ("predict", ["--artifact={folder}/a.tflite", IMAGE], "export"),
        ("predict", ["--artifact={folder}/a.tflite", "--name=birds", IMAGE], "export"),
        ("predict", ["--grpc=localhost:1", "--model=birds", IMAGE], "serving"),
        ("tailor", ["--workdir={folder}/run", "--task=tfds:mnist"], "tfds"),
        ("tailor", ["--workdir={folder}/run", "--latency=int8"], "export"),
        ("tailor", ["--workdir={folder}/run", "--max_latency_ms=1"], "export"),
    ],
)
def test_a_missing_extra_is_named(name, flags, extra, tmp_path):
    for suffix in ("onnx", "tflite"):
        (tmp_path / f"a.{suffix}").touch()
    given = [flag.format(folder=tmp_path) for flag in flags]
    status, output = program(name, *given, without=WITHOUT)
    assert status == 2, output
    *_, last = output.splitlines()
    assert last.startswith("Error: ") and "not installed" in last, output
    assert f'pip install "tailor_tf[{extra}]"' in last
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["bundle", "export", "pretrain", "report"])
def test_programs_start_without_extras(name):
    status, output = program(name, "--help", without=WITHOUT)
    assert status == 1 and "--" in output and "Traceback" not in output, output  # absl's status
