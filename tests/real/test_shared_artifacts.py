"""What many tasks share, for networks tailored to real images, over their whole test splits."""

import numpy as np
import pytest
import tensorflow as tf

from export import bundle, formats, parity
from export.saved_model import shared as shared_saved_model
from tailor_tf import Recipe, Settings, load_task, load_task_pack, load_universal, tailor
from tailor_tf.records.workdir import Workdir
from tests.export.shared_tasks import assert_same_logits, own_logits, subject
from tests.shared_data import image_set

SETTINGS = Settings(
    teacher=Recipe(1, batch_size=32, learning_rate=0.05, schedule="cosine"),
    student=Recipe(1, learning_rate=0.1, schedule="cosine"),
    finetune=Recipe(1, learning_rate=0.1, schedule="cosine"),
    training="separate",
    prune_blocks=(6,),
    tolerance=100,
)


@pytest.mark.slow
def test_every_task_answers_as_alone(tmp_path):
    universal = load_universal("tiny_imagenet")
    signs = image_set("sign_digits", "train", "test")
    sources = {"digits": "digits", "sign_digits": f"folder:{signs}"}
    splits, tasks = {}, {}
    for name, where in sources.items():
        task = load_task(where, image_size=32)
        tailor(universal, task, tmp_path / name, SETTINGS)
        tasks[name] = load_task_pack(Workdir(tmp_path / name).task_pack, universal)
        splits[name] = np.asarray(task.test.images[np.arange(len(task.test))])
    shared = formats.shared_formats()
    served, folder = (
        bundle.publish(shared[name], subject(tasks, tmp_path / "exports"))
        for name in ("saved_model", "onnx")
    )
    model, _ = shared_saved_model.load(served)
    sessions = formats.load_shared(folder)
    for name, images in splits.items():
        signature = model.signatures[name]
        expected = own_logits(tasks[name], images)
        for logits in (
            lambda x, signature=signature: signature(images=tf.constant(x))["logits"],
            sessions[name].logits,
            formats.load(folder / f"{name}.onnx").logits,
        ):
            assert_same_logits(parity.in_batches(logits, images), expected)
