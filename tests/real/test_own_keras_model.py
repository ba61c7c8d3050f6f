"""A Keras model of a person's own, from its training to artifacts, each step in its own process."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from tailor_tf import load_task, load_task_pack, load_universal
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.network import weights
from tailor_tf.training import evaluation
from tests import keras_builders
from tests.programs import ROOT, program

pytestmark = pytest.mark.slow
SIDE = 32
IN_A_FRESH_PROCESS = """
import sys, numpy as np, tailor_tf as tt
images = np.load(sys.argv[2])
np.save(sys.argv[3], tt.Bundle(sys.argv[1]).predict("digits", images).logits)
"""


def _images(split):
    return np.asarray(split.images[np.arange(len(split))])


@pytest.fixture(scope="module")
def task():
    return load_task("digits", image_size=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture(scope="module")
def file(task, tmp_path_factory):
    """A file of a model with Rescaling, augmentation and a nested backbone, trained as usual."""
    keras.utils.set_random_seed(0)
    model = keras_builders.classifier(SIDE, classes=10)
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    whole = len(task.train) // 32 * 32  # TensorFlow 2.21 may crash on a last batch of another size
    model.fit(
        _images(task.train)[:whole], task.train.labels[:whole], batch_size=32, epochs=16, verbose=0
    )
    path = tmp_path_factory.mktemp("keras") / "digits.keras"
    model.save(path)
    scores = model(_images(task.test), training=False).numpy()
    assert np.mean(scores.argmax(-1) == task.test.labels) > 0.7
    return path


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("own") / "run"
    flags = ["--training=separate", "--prune_blocks=1", "--tolerance=100"]
    for phase, epochs in (("teacher", 6), ("student", 10), ("finetune", 6)):
        flags += [f"--{phase}_epochs={epochs}", f"--{phase}_batch_size=32"]
    flags += ["--teacher_learning_rate=0.05"]
    status, output = program(
        "tailor", "--task=digits", f"--universal={file}", f"--workdir={workdir}", *flags
    )
    assert status == 0, output
    return workdir


def test_normalisation_and_pack(file, run, task):
    universal = load_universal(file)
    tailored = load_task_pack(run / "task_pack.safetensors", universal)
    assert tailored.info.preprocessing.mean == (0.5,) * 3
    header = weights.read_metadata(run / "task_pack.safetensors")
    assert len(json.dumps(header["universal"])) < 300
    batches = evaluation_batches(task.test, tailored.info.preprocessing, batch_size=100)
    assert evaluation.evaluate(tailored.student.model, batches) > 0.7


def test_artifacts_of_all_formats(run, tmp_path):
    status, output = program(
        *("export", f"--workdir={run}", f"--exports={tmp_path}", "--nobenchmark"),
        "--max_accuracy_drop=3",  # of a network of 16 channels
        timeout=600,
    )
    assert status == 0, output
    [version] = (tmp_path / "files" / "digits").iterdir()
    record = json.loads((version / "export.json").read_text())
    formats = {"saved_model", "onnx", *(f"tflite {p}" for p in ("float32", "float16", "int8"))}
    assert formats <= set(record["parity"])
    assert record["parity"]["onnx"]["max_difference"] <= 1e-4


def test_bundle_in_a_fresh_process(file, run, task, tmp_path):
    bundle = tmp_path / "bundle"
    status, output = program("bundle", "create", f"--bundle={bundle}", f"--workdir={run}")
    assert status == 0, output
    status, output = program(
        *("bundle", "add", f"--bundle={bundle}", f"--workdir={run}", "--name=again")
    )
    assert status == 0, output
    [universal] = (bundle / "universal").iterdir()
    assert universal.read_bytes().count(b"RandomFlip") == 0
    assert all(b"Conv2D" not in pack.read_bytes() for pack in (bundle / "packs").iterdir())
    images, answers = tmp_path / "images.npy", tmp_path / "logits.npy"
    np.save(images, _images(task.test)[:20])
    script = [sys.executable, "-c", IN_A_FRESH_PROCESS, bundle, images, answers]
    subprocess.run(script, check=True, cwd=ROOT)
    tailored = load_task_pack(run / "task_pack.safetensors", load_universal(file))
    inputs = tailored.info.preprocessing.normalise(np.load(images))
    expected = tailored.student.model(inputs, training=False)["logits"]
    np.testing.assert_allclose(np.load(answers), expected, atol=1e-3)
    status, output = program(
        *("bundle", "export", f"--bundle={bundle}", "--formats=saved_model,onnx"), timeout=600
    )
    assert status == 0, output
