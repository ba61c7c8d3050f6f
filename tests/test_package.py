"""The package: its requirements, and the wheel with `export` and `pipelines` within `tailor_tf`."""

import importlib.metadata
import re
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest
from PIL import Image

import hatch_build
import tailor_tf
from tailor_tf.support.extras import EXTRAS
from tests.programs import ROOT

REQUIREMENTS = hatch_build.requirements((ROOT / "requirements.txt").read_text())


def _name(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_requirements_of_each_extra():
    text = "# first\na>=1 # why\n\n# [x] why\nb\n# [x, y]\nc<2,>1\n# last\nd\n"
    assert hatch_build.requirements(text) == {
        "": ["a>=1", "d"],
        "x": ["b", "c<2,>1"],
        "y": ["c<2,>1"],
    }


def test_the_modules_of_extras_are_those_of_their_requirements():
    assert set(REQUIREMENTS) == {"", "dev", *EXTRAS}
    packages = importlib.metadata.packages_distributions()
    for extra, modules in EXTRAS.items():
        installed = {_name(package) for module in modules for package in packages[module]}
        assert installed == set(map(_name, REQUIREMENTS[extra])), extra


def test_modules_of_moved_packages_are_imported_by_their_new_names():
    source = (
        "from export import a  # from export import b\n"
        "from pipelines.x import (\n    c,\n)\n"
        "from tailor_tf.report import d\n"
        "def f():\n    from export.y import e\n"
        'g = "from export import h"\n'
    )
    assert hatch_build.rewritten(source) == (
        "from tailor_tf.export import a  # from export import b\n"
        "from tailor_tf.pipelines.x import (\n    c,\n)\n"
        "from tailor_tf.report import d\n"
        "def f():\n    from tailor_tf.export.y import e\n"
        'g = "from export import h"\n'
    )


def test_an_import_that_binds_a_moved_name_is_refused():
    with pytest.raises(ValueError, match=r"received import export\.formats"):
        hatch_build.rewritten("import export.formats\n")


def test_the_newest_entry_of_the_changelog_is_the_version():
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert first[1] == tailor_tf.__version__


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", f"--outdir={folder}", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


@pytest.mark.slow
class TestDistributions:
    def test_the_wheel_has_all_files_and_one_name_at_the_top(self, distributions):
        _, wheel = distributions
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
        kept = [path for path in listed.stdout.splitlines() if _is_of_the_package(path)]
        with zipfile.ZipFile(wheel) as archive:
            inside = [name for name in archive.namelist() if ".dist-info/" not in name]
            assert sorted(map(_place, kept)) == sorted(inside)
            for path in kept:
                same = archive.read(_place(path)) == (ROOT / path).read_bytes()
                assert same or path.partition("/")[0] in hatch_build.MOVED, path
            texts = [archive.read(name).decode() for name in inside if name.endswith(".py")]
        old = re.compile(r"^\s*(from|import) (export|pipelines)\b", re.M)
        assert not list(filter(old.search, texts))

    def test_the_source_distribution_has_nothing_else(self, distributions):
        with tarfile.open(distributions[0]) as archive:
            names = {name.split("/")[1] for name in archive.getnames()}
        folders = {"tailor_tf", "export", "pipelines"}
        builds = {"pyproject.toml", "hatch_build.py", "requirements.txt", "PKG-INFO", ".gitignore"}
        assert names == {*folders, *builds, "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"}


def _is_of_the_package(path):
    return path.partition("/")[0] in ("tailor_tf", *hatch_build.MOVED)


def _place(path):
    return f"tailor_tf/{path}" if path.partition("/")[0] in hatch_build.MOVED else path


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory):
    """The command of an environment with the wheel, outside of the checkout; runs it in a folder.

    The environment sees the packages that these tests run with, which are the requirements.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", with_pip=False)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    lines = [f"import site; site.addsitedir({p!r})" for p in sys.path if "site-packages" in p]
    (site / "requirements.pth").write_text("\n".join(lines))
    python = folder / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", distributions[1]]
    subprocess.run(pip, check=True, capture_output=True)

    def run(*arguments):
        command = [python.with_name("tailor-tf"), *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
        return done.returncode, done.stdout + done.stderr

    run.folder, run.python = folder, python
    return run


@pytest.mark.slow
class TestInstalled:
    """Programs of an installed package, from the pre-training to the bundle."""

    def test_help(self, installed):
        status, output = installed("--help")
        assert status == 0 and re.search(r"^  tailor +Tailors ", output, re.M)
        assert "tailor-tf bundle create --bundle" in installed("bundle", "--help")[1]

    def test_modules_are_within_the_package(self, installed):
        code = "from tailor_tf.export import formats; print(formats.__file__, *formats.FAMILIES)"
        done = subprocess.run([installed.python, "-c", code], cwd=installed.folder, **TEXT)
        assert re.search(r"elsewhere.*site-packages.* saved_model onnx tflite$", done.stdout)
        for name in hatch_build.MOVED:
            done = subprocess.run([installed.python, "-c", f"import {name}"], cwd="/", **TEXT)
            assert "ModuleNotFoundError" in done.stderr

    def test_from_tailoring_to_prediction(self, installed):
        epochs = [f"--{phase}_epochs=1" for phase in ("teacher", "student", "finetune")]
        batches = [f"--{phase}_batch_size=128" for phase in ("teacher", "student", "finetune")]
        tiny = ["--width=0.125", "--image_size=16", "--epochs=1", "--batch_size=128"]
        status, output = installed("pretrain", "--workdir=source", *tiny)
        assert status == 0, output
        flags = ["--universal=source/universal.safetensors", "--prune_blocks=6", "--tolerance=100"]
        flags.append("--training=separate")
        flags += ["--noidentities"]  # paths that the library behind --sparsity knows
        status, output = installed("tailor", "--workdir=run", *flags, *epochs, *batches)
        assert status == 0 and "fine-tuned" in output, output
        assert "--prune_blocks=6" in (installed.folder / "run" / "flags.txt").read_text()
        assert (installed.folder / "run" / "report" / "index.html").exists()
        status, output = installed("export", "--workdir=run", *ONNX)
        assert status == 0 and "Version 1 is in" in output, output
        Image.new("RGB", (16, 16)).save(installed.folder / "a.png")
        artifact = "--artifact=run/exports/files/digits/1/float32.onnx"
        status, output = installed("predict", artifact, "a.png")
        assert status == 0 and re.search(r"a.png\t\d\t0\.\d{4}", output), output
        status, output = installed("export", "--workdir=run", *SPARSE)
        assert status == 0 and "sparse" in output, output
        status, output = installed("bundle", "create", "--bundle=bundle", "--workdir=run")
        assert status == 0 and "was created: 1 task" in output, output

    def test_a_protocols_own_flag_files_are_found(self, installed):
        flags = ["--protocol=imagenet_to_sketch", "--domains=wikiart", "--folders=."]
        status, output = installed("decathlon", "--workdir=runs", *flags)
        assert status == 2 and "no folder wikiart with the images of wikiart" in output, output


TEXT = {"capture_output": True, "text": True, "check": False}
ONNX = ["--formats=saved_model,onnx", "--nobenchmark"]
# Trained in the process of its own that knows tf-keras.
SPARSE = ["--formats=tflite", "--precision=float32", "--nobenchmark"]
SPARSE += ["--sparsity=0.5", "--optimize_epochs=1"]
