"""Networks of keras.applications with random weights, tailored a little, in every format."""

import keras
import numpy as np
import pytest

from export import parity
from export.format import Subject
from export.judge import Judge
from export.metadata import ArtifactError
from export.options import Options
from tailor_tf.backbones import cutting
from tailor_tf.backbones.universal import universal_from_tensors
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.tailoring.settings import Settings
from tests import builders
from tests.backbones.test_applications import FAST, SIZE, SLOW, random_original

CLASSES = ("ant", "bee", "cow")
EXACT = ("saved_model", "onnx", "tflite float32")


@pytest.fixture(scope="module", params=(*FAST, *SLOW))
def subject(request):
    """A student of the default settings whose second half of blocks is removed where it can be."""
    rng = np.random.default_rng(8)
    graph, tensors = cutting.cut(
        random_original(request.param, rng), {"name": request.param, "image_size": SIZE}
    )
    universal = universal_from_tensors(graph, tensors, origin="the original")
    full = Settings().architecture(graph, graph.stage_ends[-2])
    half = full.depth // 2
    kept = full.without(p for p in full.paths if p.universal and p.target > half)
    network = compact(builders.random_student(universal, kept, rng, len(CLASSES)))
    keras.backend.clear_session()
    info = TaskInfo(
        "animals",
        CLASSES,
        Preprocessing(SIZE, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0),
    )
    images = rng.integers(0, 256, (60, SIZE, SIZE, 3), np.uint8)
    split = Split("train", np.arange(60, dtype=np.int32) % 3, images)
    return Subject(network, Task(info, split, split, split))


@pytest.mark.slow
def test_every_format(subject, tmp_path):
    judge = Judge(subject.network, subject.info.preprocessing, subject.split)
    for form in Options().artifacts():
        path = tmp_path / form.file_name
        if form.name == "onnx" and "convnext" in subject.network.name.lower():
            with pytest.raises(ArtifactError, match=r"as ONNX: No Op registered for Erfc"):
                form.write(path, subject)  # of exact GELU
            continue
        form.write(path, subject)
        found = judge.compare(path)
        if form.name in EXACT:
            parity.check(form.name, form.limits, found)
        assert found.mean_difference < 0.2 * found.largest_logit, form.name
