"""One TFLite file for several tasks that were tailored to real images."""

import math

import numpy as np
import pytest

from export import exportable, exporter, formats, parity
from export.options import Options
from export.tflite import kernels as tflite_kernels
from export.tflite import merging, unfolding
from export.tflite import shared as shared_tflite
from tailor_tf import load_task, load_universal, tailor
from tailor_tf.records.workdir import Workdir
from tests.real.test_export import SETTINGS
from tests.shared_data import image_set


@pytest.mark.slow
def test_tasks_of_real_images(tmp_path):
    """Tailored to real images, exported by the program's way, compared over whole test splits."""
    universal = load_universal("tiny_imagenet")
    options = Options(
        formats=("tflite",), precisions=("float32", "int8"), max_accuracy_drop=2, measure=False
    )
    own, tasks, sources = {}, {}, {}
    for name in ("digits", "sign_digits", "dtd10"):
        where = name if name == "digits" else f"folder:{image_set(name, 'train', 'test')}"
        tasks[name] = load_task(where, image_size=32, flip=name == "dtd10")
        tailor(universal, tasks[name], tmp_path / name, SETTINGS)
        sources[name] = exportable.from_run(Workdir(tmp_path / name), universal)
        own[name] = exporter.export(sources[name], tasks[name], tmp_path, options).files
    images = {
        name: np.asarray(task.test.images[np.arange(len(task.test))])
        for name, task in tasks.items()
    }
    for precision in ("float32", "int8"):
        artifacts = {name: folder / f"{precision}.tflite" for name, folder in own.items()}
        path = tmp_path / f"{precision}.tflite"
        sizes = shared_tflite.write(path, artifacts, universal, images=images)
        assert sizes.shared < 0.75 * sum(sizes.separate.values())
        for name, runtime in shared_tflite.load(path).items():
            expected = parity.in_batches(formats.load(artifacts[name]).logits, images[name])
            received = parity.in_batches(runtime.logits, images[name])
            assert np.mean(expected.argmax(-1) == received.argmax(-1)) >= 0.999
    contents = {name: path.read_bytes() for name, path in artifacts.items()}
    whole = len(merging.merge(contents))
    kernels = {
        name: set(tflite_kernels.universal_convolutions(each.network))
        for name, each in sources.items()
    }
    for name, each in sources.items():
        found = unfolding.unfold(contents[name], tflite_kernels.universal_kernels(universal))[1]
        assert found == {"int8": len(kernels[name])}
        others = {other for other in contents if other != name}
        new = kernels[name] - set().union(*(kernels[other] for other in others))
        new_bytes = sum(math.prod(universal.model.get_layer(n).kernel.shape) for n in new)
        cost = whole - len(merging.merge({other: contents[other] for other in others}))
        assert cost - new_bytes <= 1.1 * tflite_kernels.task_bytes(each.network) + 65536
