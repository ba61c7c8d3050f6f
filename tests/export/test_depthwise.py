"""Networks of depthwise convolutions and negative nodes in every format and precision."""

import collections

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from export import parity
from export.format import Subject
from export.judge import Judge
from export.options import Options
from tailor_tf import backbones
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.splits import Split
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.network.architecture import Architecture
from tests import builders
from tests.export.operators import kernels, operators

CLASSES = ("ant", "bee", "cow")
UNIVERSAL = {
    "relu6": builders.depthwise_universal,
    "hard_swish": lambda rng: builders.depthwise_universal(rng, activation="hard_swish"),
    "efficientnet_lite0": lambda rng: builders.universal(
        backbones.create("efficientnet_lite0", image_size=64), rng
    ),
}
FUSED = {"relu6": "RELU6", "hard_swish": "NONE", "efficientnet_lite0": "RELU6"}
FORMATS = {each.name: each for each in Options().artifacts()}
EXACT = ("saved_model", "onnx", "tflite float32")


@pytest.fixture(
    scope="module",
    params=[*list(UNIVERSAL)[:2], pytest.param("efficientnet_lite0", marks=pytest.mark.slow)],
)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def subject(name):
    rng = np.random.default_rng(8)
    universal = UNIVERSAL[name](rng)
    full = Architecture.full(universal.graph.num_blocks, 1)
    network = compact(builders.random_student(universal, full, rng, len(CLASSES)))
    side = universal.graph.input_shape[0]
    preprocessing = Preprocessing(side, (0.5,) * 3, (0.25,) * 3, flip=False, crop_padding=0)
    info = TaskInfo("animals", CLASSES, preprocessing)
    images = rng.integers(0, 256, (90, side, side, 3), np.uint8)
    split = Split("train", np.arange(90, dtype=np.int32) % 3, images)
    return Subject(network, Task(info, split, split, split))


@pytest.fixture(scope="module")
def written(subject, tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    for form in FORMATS.values():
        form.write(folder / form.file_name, subject)
    return {name: folder / form.file_name for name, form in FORMATS.items()}


@pytest.fixture(scope="module")
def judge(subject):
    return Judge(subject.network, subject.info.preprocessing, subject.split)


@pytest.mark.parametrize("form", [*EXACT, "tflite float16"])
def test_parity(written, judge, form):
    parity.check(form, FORMATS[form].limits, judge.compare(written[form]))


@pytest.mark.parametrize("form", ["tflite dynamic", "tflite int8"])
def test_integer_precisions_are_near(written, judge, form):
    found = judge.compare(written[form])
    assert found.mean_difference < 0.05 * found.largest_logit


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_activations_are_parts_of_convolutions(written, name, precision):
    found = collections.Counter(operators(written[f"tflite {precision}"].read_bytes()))
    kinds = {kind for kind, _ in found}
    assert not kinds & {"RELU", "RELU6", "PAD", "PADV2", "MUL", "LOGISTIC"}
    assert ("HARD_SWISH" in kinds) == (name == "hard_swish")
    assert {fused for kind, fused in found if kind == "DEPTHWISE_CONV_2D"} == {FUSED[name]}


def test_int8_kernels_have_a_scale_per_channel(written):
    found = kernels(written["tflite int8"].read_bytes())
    assert {kind for _, kind in found} == {"CONV_2D", "DEPTHWISE_CONV_2D"}
    for kernel, kind in found:
        assert kernel.type == schema.TensorType.INT8
        channels = kernel.shape[3] if kind == "DEPTHWISE_CONV_2D" else kernel.shape[0]
        assert len(kernel.quantization.scale) == channels
