"""Flag files of runs, written and read again, and what a file of somebody else may set."""

import os

import pytest

from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError
from tests.programs import ROOT, in_fork, parsed


def _read(content, folder, *given):
    """Values of the flags of pipelines.export after it read a flag file, and the error if any."""
    from absl import flags

    from pipelines.common import tailored

    workdir = Workdir(folder)
    workdir.flags.write_bytes(content)
    parsed("pipelines.export", [[f"--workdir={folder}", *given]])
    try:
        tailored.flag_files.read(workdir, tailored.images.SOURCE_NAMES + tailored.universal.NAMES)
    except TailorError as error:
        return {}, str(error)
    return {name: flags.FLAGS[name].value for name in ("task", "universal", *_OTHERS)}, None


_OTHERS = ("seed", "deterministic", "mean", "exports", "keep_versions", "task_pack", "benchmark")


def read(content, folder, *given):
    return in_fork(_read, content, str(folder), *given)


def test_images_and_network_are_taken_over(tmp_path):
    content = (
        b"--task=folder:/a b\n--universal=/u.safetensors\n--deterministic\n--mean=0.1,0.2,0.3\n"
    )
    values, error = read(content, tmp_path, "--universal=given")
    assert error is None
    assert values["task"] == "folder:/a b" and values["universal"] == "given"
    assert values["deterministic"] is True and values["mean"] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    "line",
    [
        "--exports=/victim",
        "--keep_versions=1",
        "--task_pack=/victim/pack",
        "--nobenchmark",
        "--workdir=/victim",
        "--flagfile=/victim/flags.txt",
        "--undefok=task\n--exports=/victim",
        "exports=/victim",
        "---exports=/victim",
    ],
)
def test_nothing_else_is_taken_over(line, tmp_path):
    by_default, _ = read(b"", tmp_path)
    assert read(line.encode(), tmp_path) == (by_default, None)


def test_characters_that_only_some_programs_take_for_line_breaks(tmp_path):
    content = "--task=folder:a\u2028--seed=7\x0b--seed=8\x85--seed=9\n".encode()
    values, _ = read(content, tmp_path)
    assert values["seed"] == 0 and values["task"].endswith("--seed=9")


def test_names_of_files_may_be_any_bytes(tmp_path):
    values, error = read(b"--task=folder:caf\xe9\n", tmp_path)
    assert error is None and os.fsencode(values["task"]) == b"folder:caf\xe9"


def test_a_wrong_value_is_named_with_its_file(tmp_path):
    _, error = read(b"--seed=nan\n", tmp_path)
    assert f"{tmp_path}/flags.txt cannot be used: flag --seed=nan: expected an integer" in error


def _written(folder, *given):
    from pipelines.common import flag_files

    parsed("pipelines.tailor", [[f"--workdir={folder}", *given]])
    flag_files.write(Workdir(folder))
    return Workdir(folder).flags.read_bytes()


def test_what_is_written_is_one_line_for_each_flag(tmp_path):
    given = ["--task=folder:caf\udce9", "--prune_blocks=8,6", "--depth=all", "--max_skip=dense"]
    lines = in_fork(_written, str(tmp_path), *given, "--until=student").splitlines()
    assert b"--task=folder:caf\xe9" in lines
    assert {b"--prune_blocks=8,6", b"--depth=all", b"--max_skip=dense"} < set(lines)
    assert not [line for line in lines if line.startswith(b"--until") or line[:2] != b"--"]


def _answers(files):
    return parsed("pipelines.tailor", [["--workdir=missing", f"--flagfile={f}"] for f in files])


def test_the_flag_files_of_the_project_are_accepted():
    files = sorted(map(str, (ROOT / "pipelines" / "flags").rglob("*.txt")))
    assert len(files) > 20
    for file, (said, status, _) in zip(files, in_fork(_answers, files), strict=True):
        assert status == 0, f"{file}: {said}"
