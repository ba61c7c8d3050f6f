"""Files of many tasks under LiteRT's cache of packed weights, which other programs may use."""

import keras
import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import CpuOptions, Options

from export.tflite import kernels as tflite_kernels
from export.tflite import shared as shared_tflite
from tests.export.tflite.three_tasks import CLASSES, SIZE, info, make_student, save

FLOATS = [pytest.param(name, marks=pytest.mark.slow) for name in ("float32", "float16")]


def cached_logits(path, cache, images, tasks):
    """Logits of tasks from LiteRT's compiled model, with packed weights in a cache file."""
    options = Options(
        hardware_accelerators=HardwareAccelerator.CPU,
        cpu_options=CpuOptions(xnnpack_weight_cache_path=str(cache)),
    )
    model = CompiledModel.from_file(str(path), options=options)
    found = {}
    for name in tasks:
        index = model.get_signature_index(name)
        inputs, outputs = model.create_input_buffers(index), model.create_output_buffers(index)
        rows = []
        for image in images:
            inputs[0].write(image)
            model.run_by_index(index, inputs, outputs)
            rows.append(outputs[0].read(len(CLASSES[name]), np.float32))
        found[name] = np.array(rows)
    return found


def interpreted_logits(path, images):
    """The same of LiteRT's interpreter, without a cache."""
    return {
        name: np.concatenate([runtime.run(image[None]) for image in images])
        for name, runtime in shared_tflite.load(path).items()
    }


def assert_cached_answers_are_the_interpreters(path, folder):
    images = np.random.default_rng(4).normal(size=(6, SIZE, SIZE, 3)).astype(np.float32)
    expected = interpreted_logits(path, images)
    for _ in range(2):  # the first time writes the cache, the second one reads it
        received = cached_logits(path, folder / "cache", images, list(expected))
        for name, logits in expected.items():
            np.testing.assert_array_equal(received[name], logits)


@pytest.mark.parametrize("precision", ["int8", *FLOATS])
def test_cached_answers_are_those_of_the_interpreter(shared, tmp_path, precision):
    assert_cached_answers_are_the_interpreters(shared[precision], tmp_path)


def test_tasks_whose_biases_are_equal_keep_their_own_scales(universal, tmp_path):
    """Batch norms without offset: kernels and biases of both tasks are the same bytes."""
    own = {}
    for place, name in enumerate(("ants", "köter")):
        network = make_student(universal, name, place)
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.beta.assign(np.zeros_like(layer.beta))
                layer.moving_mean.assign(np.zeros_like(layer.moving_mean))
        folded = tflite_kernels.folded(network, "int8")
        own[name] = save(tmp_path / f"{place}.tflite", folded, "int8", info(name))
    shared_tflite.write(tmp_path / "shared.tflite", own, universal)
    assert_cached_answers_are_the_interpreters(tmp_path / "shared.tflite", tmp_path)
