"""Shared artifacts of tasks with own weights and heads, identities, and early ends."""

import numpy as np
import pytest

from export import bundle
from export.onnx import sessions
from export.onnx import shared as shared_onnx
from export.saved_model import shared as shared_saved_model
from export.saved_model import single as saved_model
from export.tflite import kernels as tflite_kernels
from export.tflite import shared as shared_tflite
from export.tflite import single as tflite
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.method.task_pack import TailoredTask
from tailor_tf.network.graph import full_architecture
from tests import builders
from tests.export.shared_tasks import assert_same_logits, own_logits, pixels, subject

SIDE = 16
# Own weights, depth, own head, and whether the second block is removed for its identity.
TASKS = {
    "ants": ("depthwise", 5, False, False),
    "bees": ("affine", 3, False, True),
    "cows": ("depthwise", 3, True, True),
}


@pytest.fixture(scope="module")
def tasks():
    universal = builders.depthwise_universal(np.random.default_rng(0))
    found = {}
    for seed, (name, (own, depth, own_head, shorter)) in enumerate(TASKS.items()):
        rng = np.random.default_rng(seed)
        options = {"own": own, "depth": depth, "own_head": own_head}
        full = full_architecture(universal.graph, max_skip=1, identities=True, **options)
        kept = full.without(full.into(2)[:1]) if shorter else full
        student = builders.random_student(universal, kept, rng, 4)
        preprocessing = Preprocessing(SIDE, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0)
        found[name] = TailoredTask(TaskInfo(name, tuple("abcd"), preprocessing), student)
    return found


def test_saved_model(tasks, tmp_path):
    shared_saved_model.save(tmp_path / "model", tasks)
    loaded, infos = shared_saved_model.load(tmp_path / "model")
    for name, task in tasks.items():
        signature = loaded.signatures[shared_saved_model.signatures(name)[0]]
        images = pixels(task)
        received = saved_model.runtime(signature, infos[name]).logits(images)
        assert_same_logits(received, own_logits(task, images))


def test_onnx(tasks, tmp_path):
    folder = bundle.publish(shared_onnx.SharedONNX(), subject(tasks, tmp_path))
    loaded = sessions.load(folder)
    for name, task in tasks.items():
        images = pixels(task)
        assert_same_logits(loaded[name].logits(images), own_logits(task, images))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_tflite(tasks, tmp_path, precision):
    """The files of the tasks alone and together answer alike."""
    samples = np.random.default_rng(6).normal(size=(20, 1, SIDE, SIDE, 3)).astype("float32")
    alone = {}
    for name, task in tasks.items():
        network = tflite_kernels.folded(compact(task.student), precision)
        content = tflite.convert(network, precision, representative=samples)
        alone[name] = tmp_path / f"{name}.tflite"
        tflite.save(alone[name], content, task.info)
    universal = next(iter(tasks.values())).student.universal
    sizes = shared_tflite.write(tmp_path / "all.tflite", alone, universal)  # compares answers
    assert sizes.shared < sum(sizes.separate.values())
    if precision == "float32":
        for name, task in tasks.items():
            images = pixels(task)
            received = shared_tflite.load(tmp_path / "all.tflite")[name].logits(images)
            assert_same_logits(received, own_logits(task, images))
