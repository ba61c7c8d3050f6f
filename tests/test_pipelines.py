"""Each program from end to end on a tiny network, and what it says to a person's mistakes."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tailor_tf import Recipe, Settings, tailoring

ROOT = pathlib.Path(__file__).parents[1]


def program(name, *flags):
    """Runs a program and returns its exit status and all that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}", *flags],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Working directory of a source network, pre-trained for one epoch."""
    workdir = tmp_path_factory.mktemp("source")
    flags = ["--width=0.125", "--image_size=16", "--epochs=1", "--batch_size=128"]
    status, output = program("pretrain", f"--workdir={workdir}", *flags)
    assert status == 0, output
    assert re.search(r"universal.safetensors: test accuracy \d", output)
    return workdir


@pytest.fixture(scope="module")
def quick(source):
    """Flags of a run of one epoch per phase."""
    epochs = [f"--{phase}_epochs=1" for phase in ("teacher", "student", "finetune")]
    batches = [f"--{phase}_batch_size=128" for phase in ("teacher", "student", "finetune")]
    universal = f"--universal={source / 'universal.safetensors'}"
    return [universal, *epochs, *batches, "--prune_blocks=6", "--tolerance=100"]


def test_tailor_and_report(quick, tmp_path):
    status, output = program("tailor", f"--workdir={tmp_path}", *quick)
    assert status == 0, output
    assert re.search(r"\| fine-tuned +\| +\d", output)
    assert list(tmp_path.glob("logs/student/events*")), "no TensorBoard logs"
    flagfile = tmp_path / "flags.txt"
    status, again = program("tailor", f"--flagfile={flagfile}")
    assert status == 0, again
    phases = r"^digits: (\w+)"
    assert re.findall(phases, output, re.MULTILINE) == ["teacher", "student", "finetuned"]
    assert not re.findall(phases, again, re.MULTILINE), "a finished phase ran again"
    rows = r"^\| .*"
    assert re.findall(rows, output, re.MULTILINE) == re.findall(rows, again, re.MULTILINE)
    flags = flagfile.read_text()
    status, output = program("tailor", f"--flagfile={flagfile}", "--teacher_weight=1")
    assert status == 2
    assert re.search(
        r"student.json was made with.*teacher_weight was 10.0 and is 1.0.*--redo", output
    )
    assert flagfile.read_text() == flags, "a refused start left its flags"
    for method in ("finetune", "residual_adapters"):
        status, output = program(
            "tailor", f"--flagfile={flagfile}", f"--method={method}", "--baseline_epochs=1"
        )
        assert status == 0, output
    assert "digits: residual adapters" in output and "digits: teacher" not in output
    status, output = program("report", f"--workdirs={tmp_path}")
    assert status == 0, output
    methods = re.findall(r"^\| digits +\| (\w+) ", output, re.MULTILINE)
    assert methods == ["finetune", "residual_adapters", "nettailor"]


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("tailor", ["--task=digit"], "digit.*digits.*folder:.*tfds:"),
        ("tailor", ["--universal=no.file"], "No universal network 'no.file'; expected tiny_imagen"),
        ("tailor", ["--estimator=exact"], "exact.*paper.*reachability"),
        ("tailor", ["--max_skip=many"], "--max_skip got 'many'; expected an integer or dense"),
        ("tailor", ["--prune_blocks=8,x"], "--prune_blocks got '8,x'; expected integers"),
        ("tailor", ["--student_schedule=linear"], "Unknown schedule 'linear'; known are step, cos"),
        ("tailor", ["teacher"], "Unexpected argument 'teacher'"),
        ("pretrain", ["--backbone=resnet19"], "resnet19.*resnet18"),
        ("tailor", ["--blocks=4"], "wide_resnet26 has no setting blocks; it takes image_size"),
        ("pretrain", ["--image_size=33"], "image_size 33; expected a positive multiple of 8"),
        ("report", [], "no_run.*no record of a finished network"),
        (
            "tailor",
            ["--method=adapters"],
            "adapters.*nettailor.*finetune.*linear.*residual_adapters",
        ),
    ],
)
def test_mistakes_end_in_one_message(name, flags, message, tmp_path, source):
    workdir = "--workdirs=no_run" if name == "report" else f"--workdir={tmp_path / 'run'}"
    universal = [f"--universal={source / 'universal.safetensors'}"] if name == "tailor" else []
    status, output = program(name, workdir, *universal, *flags)
    assert status not in (0, 130)
    assert re.search(message, output, re.DOTALL), output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


def test_the_readme_example(monkeypatch, tmp_path):
    """The README's Python runs as it stands, but for one epoch per phase instead of many."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = re.sub(r"Recipe\(\d+", "Recipe(1", "\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "fine-tuned" in names["result"].table
    assert names["logits"].shape == (4, 10)
    assert names["network"].output_shape == (None, 10)


def test_the_defaults_are_the_papers():
    assert Settings().complexity_weight == 0.3
    assert Settings().teacher_weight == 10
    assert Settings().max_skip == 3
    assert Settings().proxy_threshold == 0.05
    assert Settings().estimator == "paper"
    assert Settings().tolerance == 0.5
    assert Settings().student == Recipe(
        epochs=20, batch_size=32, learning_rate=0.1, decay=0.1, decay_epochs=8, weight_decay=5e-4
    )
    assert tailoring.Settings().teacher.learning_rate == 0.01
