"""Artifacts of networks tailored to real images, each over its whole test split."""

import json

import numpy as np
import pytest

from export import exportable, exporter, formats
from export.options import Options
from tailor_tf import Recipe, Settings, load_task, load_universal, tailor
from tailor_tf.records.workdir import Workdir
from tests.shared_data import image_set

SETTINGS = Settings(
    teacher=Recipe(5, batch_size=32, learning_rate=0.05, schedule="cosine"),
    student=Recipe(6, learning_rate=0.1, schedule="cosine"),
    finetune=Recipe(6, learning_rate=0.1, schedule="cosine"),
    training="separate",
    prune_blocks=(6,),
    tolerance=100,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "sign_digits", "dtd10"])
def test_every_artifact_computes_what_was_trained(name, tmp_path):
    where = name if name == "digits" else f"folder:{image_set(name, 'train', 'test')}"
    task = load_task(where, image_size=32, flip=name == "dtd10")
    universal = load_universal("tiny_imagenet")
    tailor(universal, task, tmp_path / "run", SETTINGS)
    tailored = exportable.from_run(Workdir(tmp_path / "run"), universal)
    published = exporter.export(tailored, task, tmp_path, Options(measure=False))
    record = json.loads((published.files / "export.json").read_text())
    parities = record["parity"]
    assert set(parities) == {
        "saved_model",
        "onnx",
        *(f"tflite {p}" for p in ("float32", "float16", "dynamic", "int8")),
    }
    tailored_accuracy = parities["onnx"]["expected_accuracy"]
    trained = json.loads((tmp_path / "run" / "records" / "finetuned_6.json").read_text())
    assert tailored_accuracy == pytest.approx(trained["accuracy"]["test"])
    for artifact, found in parities.items():
        assert found["images"] == len(task.test)
        if artifact in ("saved_model", "onnx", "tflite float32"):
            assert found["agreement"] == 1.0
            assert found["max_difference"] <= 1e-4
        else:
            assert found["accuracy"] >= tailored_accuracy - 0.005
    assert parities["tflite float16"]["agreement"] >= 0.999
    # Once more without the exporter: the file alone, as a stranger would use it.
    logits = formats.load(published.files / "int8.tflite").logits(
        np.asarray(task.test.images[np.arange(len(task.test))])
    )
    accuracy = float(np.mean(logits.argmax(-1) == task.test.labels))
    assert accuracy == pytest.approx(parities["tflite int8"]["accuracy"])
