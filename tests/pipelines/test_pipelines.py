"""Each program from end to end on a tiny network, and what it says to a person's mistakes."""

import dataclasses
import re

import pytest
from PIL import Image

from tailor_tf import Recipe, Settings, load_task
from tests.programs import ROOT, in_fork, program


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
    """Flags of a run of one epoch per phase, of networks of six layers instead of twelve."""
    epochs = [f"--{phase}_epochs=1" for phase in ("teacher", "student", "finetune")]
    batches = [f"--{phase}_batch_size=128" for phase in ("teacher", "student", "finetune")]
    universal = f"--universal={source / 'universal.safetensors'}"
    size = ["--depth=6", "--max_skip=2", "--prune_blocks=3", "--training=separate"]
    return [universal, *epochs, *batches, *size, "--tolerance=100"]


@pytest.fixture(scope="module")
def tailored(quick, tmp_path_factory):
    """A working directory of a finished run, and what the program printed."""
    workdir = tmp_path_factory.mktemp("tailored")
    status, output = program("tailor", f"--workdir={workdir}", *quick)
    assert status == 0, output
    return workdir, output


def test_tailor_and_report(tailored):
    workdir, output = tailored
    assert re.search(r"\| fine-tuned +\| +\d", output)
    assert list(workdir.glob("logs/student/events*")), "no TensorBoard logs"
    flagfile = workdir / "flags.txt"
    status, again = program("tailor", f"--flagfile={flagfile}", "--tolerance=-100")
    assert status == 3, again
    assert "points NOT within the tolerance of -100 points" in again
    assert "digits: the first 6 of 12 blocks" in output
    phases = r"^digits: (?!the first)(\w+)"
    assert re.findall(phases, output, re.MULTILINE) == ["teacher", "student", "finetuned"]
    assert not re.findall(phases, again, re.MULTILINE), "a finished phase ran again"
    rows = r"^\| .*"
    assert re.findall(rows, output, re.MULTILINE) == re.findall(rows, again, re.MULTILINE)
    flags = flagfile.read_text()
    status, output = program("tailor", f"--flagfile={flagfile}", "--teacher_weight=2")
    assert status == 2
    assert re.search(
        r"student.json was made with.*teacher_weight was 0.2 and is 2.0.*--redo", output
    )
    assert flagfile.read_text() == flags, "a refused start left its flags"
    for method in ("finetune", "residual_adapters"):
        status, output = program(
            "tailor", f"--flagfile={flagfile}", f"--method={method}", "--baseline_epochs=1"
        )
        assert status == 0, output
    assert "digits: residual adapters" in output and "digits: teacher" not in output
    status, output = program("report", f"--workdirs={workdir}")
    assert status == 0, output
    methods = re.findall(r"^\| digits +\| (\w+) ", output, re.MULTILINE)
    assert methods == ["finetune", "residual_adapters", "nettailor"]


@pytest.mark.slow
def test_bundle_of_finished_runs(tailored, tmp_path):
    workdir, _ = tailored
    bundle = f"--bundle={tmp_path / 'bundle'}"
    status, output = program("bundle", "create", bundle, f"--workdir={workdir}")
    assert status == 0 and "was created: 1 task" in output, output
    status, output = program("bundle", "add", bundle, f"--workdir={workdir}", "--name=again")
    assert status == 0 and "again was added" in output, output
    status, output = program("bundle", "list", bundle)
    assert status == 0, output
    assert re.findall(r"^\| (\w+) +\| +10 \|", output, re.MULTILINE) == ["digits", "again"]


def test_export_and_predict(tailored):
    workdir, _ = tailored
    flags = [f"--workdir={workdir}", "--precision=float32", "--nobenchmark"]
    status, output = program("export", *flags)
    assert status == 0, output
    assert re.search(r"\| onnx +\| +100.00 ", output)
    files = workdir / "exports" / "files" / "digits" / "1"
    assert f"Version 1 is in {files}" in output
    task = load_task("digits", image_size=16)
    image = workdir / "image.png"
    Image.fromarray(task.test.images[0]).save(image)
    model = workdir / "exports" / "serving" / "digits" / "1"
    status, output = program("predict", f"--artifact={model}", str(image))
    assert status == 0, output
    answer = rf"{image}\t\d\t0\.\d{{4}}"
    assert re.search(answer, output)
    (workdir / "empty.png").touch()
    status, output = program("predict", f"--artifact={files}/float32.onnx", str(workdir))
    assert status == 2
    assert f"{workdir / 'empty.png'}: The file is empty." in output
    assert re.search(answer, output)
    (workdir / "records" / "selection.json").unlink()
    status, output = program("export", *flags)
    assert status == 2
    assert "selection.json does not exist: the selection among the levels has not run" in output


@pytest.mark.slow
def test_names_of_a_task(tailored, tmp_path):
    """A task has another name in its exports, and another one in a bundle; both find the pack."""
    workdir, _ = tailored
    exports, bundle = f"--exports={tmp_path / 'exports'}", f"--bundle={tmp_path / 'bundle'}"
    one = ["--formats=tflite", "--precision=float32"]
    status, output = program(
        "export", f"--workdir={workdir}", exports, *one, "--nobenchmark", "--name=numbers"
    )
    assert status == 0, output
    assert (tmp_path / "exports" / "files" / "numbers" / "1" / "float32.tflite").exists()
    for verb, name in (("create", "first"), ("add", "second")):
        status, output = program("bundle", verb, bundle, f"--workdir={workdir}", f"--name={name}")
        assert status == 0, output
    status, output = program("bundle", "add", bundle, f"--workdir={workdir}", "--name=FIRST")
    assert status == 2 and "'FIRST' differs from 'first' in" in output
    status, output = program("bundle", "export", bundle, exports, *one)
    assert status == 0, output
    Image.fromarray(load_task("digits", image_size=16).test.images[0]).save(tmp_path / "a.png")
    artifact = f"--artifact={tmp_path / 'exports' / 'tflite' / '1' / 'float32.tflite'}"
    answers = {
        name: program("predict", artifact, f"--name={name}", str(tmp_path / "a.png"))
        for name in ("first", "second")
    }
    assert answers["first"] == answers["second"] and answers["first"][0] == 0


@pytest.mark.slow
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


def _settings(*given):
    """The settings that flags of pipelines.tailor describe."""
    from absl import flags

    from pipelines import tailor  # noqa: F401  it defines its flags
    from pipelines.common import tailoring

    flags.FLAGS(["tailor", "--task=digits", "--workdir=none", *given])
    return tailoring.settings()


def test_the_papers_settings():
    settings = in_fork(_settings, "--flagfile=pipelines/flags/paper.txt")
    assert settings.complexity_weight == 0.3
    assert settings.teacher_weight == 10
    assert (settings.depth, settings.max_skip, settings.identities) == ("all", 3, False)
    assert (settings.own, settings.node_errors) == ("statistics", "absolute")
    assert (settings.logit_errors, settings.ranking) == ("squared", "gates")
    assert settings.training == "separate"
    assert settings.proxy_threshold == 0.05
    assert settings.estimator == "paper"
    assert settings.tolerance == 0.5
    steps = {"schedule": "step", "decay": 0.1, "decay_epochs": 8, "weight_decay": 5e-4}
    student = Recipe(20, batch_size=32, learning_rate=0.1, **steps)
    assert settings.student == settings.baseline == student
    assert settings.finetune == dataclasses.replace(student, learning_rate=0.01)
    assert settings.teacher == dataclasses.replace(student, learning_rate=0.01, batch_size=64)


def test_flags_have_the_defaults_of_the_library():
    assert in_fork(_settings) == Settings()
