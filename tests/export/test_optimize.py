"""Training towards int8, sparsity and clusters; the trainings themselves are slow."""

import collections
import dataclasses
import functools
import json

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers as kl

from export import exporter, formats, parity
from export.exportable import Exportable
from export.format import Subject
from export.judge import Judge
from export.metadata import ArtifactError
from export.optimize import description, optimize
from export.optimize.job import Job
from export.optimize.worker.network import build
from export.options import Options
from export.tflite import single as tflite
from export.tflite.artifacts import TFLite
from tailor_tf import backbones, load_task
from tailor_tf.data.batches import evaluation_input, training_batches
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import build_network
from tailor_tf.training.loop import Trainer
from tailor_tf.training.objective import Classification
from tailor_tf.training.recipe import Recipe
from tests.builders import (
    depthwise_universal,
    images,
    random_architecture,
    random_student,
    universal,
)
from tests.export.operators import kernels, operators
from tests.method.test_compaction import NETWORKS


@pytest.mark.parametrize("name", ["wide_resnet26", "resnet18", "cifar_resnet20"])
def test_same_network_in_tf_keras(name, rng):
    graph = backbones.create(name, **NETWORKS[name])
    architecture = random_architecture(graph.num_blocks, rng, 3)
    student = random_student(universal(graph, rng), architecture, rng)
    folded = fold(compact(student))
    arrays = {variable.path: np.asarray(variable) for variable in folded.weights}
    described = json.loads(json.dumps([each.as_dict() for each in description.describe(folded)]))
    again = build([description.Operation.from_dict(each) for each in described], arrays)
    x = images(graph, rng)
    np.testing.assert_allclose(again(x), folded(x), rtol=1e-5, atol=1e-5)


def test_relu6_is_a_part_of_its_convolution(rng):
    universal = depthwise_universal(rng)
    student = random_student(universal, Architecture.full(universal.graph.num_blocks, 2), rng)
    folded = fold(compact(student))
    described = description.describe(folded)
    kinds = collections.Counter((each.kind, each.config.get("activation")) for each in described)
    assert kinds["DepthwiseConv2D", "relu6"] == 5
    assert kinds["Conv2D", "relu6"] == 6  # the stem and an expansion per block
    assert not [each for each in described if each.kind == "ReLU"]
    arrays = {variable.path: np.asarray(variable) for variable in folded.weights}
    x = images(universal.graph, rng)
    np.testing.assert_allclose(build(described, arrays)(x), folded(x), rtol=1e-5, atol=1e-5)


def test_other_layers_are_refused():
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, kl.Conv2DTranspose(4, 3)(x), name="odd")
    with pytest.raises(ArtifactError, match="not used on Conv2DTranspose layers, which odd has"):
        optimize.quantise(model, None, Job("quantise"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("binarise",), "'binarise'; known are quantise, sparsify, cluster"),
        (("sparsify", 1.0), r"sparsity is 1.0; expected a share between"),
        (("cluster", 1), "clusters is 1; expected 2 to 256"),
    ],
)
def test_bad_jobs(arguments, message):
    with pytest.raises(ArtifactError, match=message):
        Job(*arguments)


@pytest.fixture(scope="module")
def digits():
    return load_task("digits", image_size=16)


@pytest.fixture(scope="module")
def trained(digits):
    """A small network that knows the digits."""
    keras.utils.set_random_seed(0)
    graph = backbones.create("wide_resnet26", image_size=16, width=0.125)
    model = build_network(graph, 10)
    recipe = Recipe(8, batch_size=32, learning_rate=0.1, schedule="cosine")
    trainer = Trainer(Classification(model), recipe, 36)
    trainer.fit(
        functools.partial(
            training_batches, digits.train, digits.preprocessing, batch_size=32, seed=0
        )
    )
    logits = keras.Model(model.input, model.output["logits"], name="trained")
    return Exportable(digits.info, logits)


def _accuracy(content, task, path):
    tflite.save(path, content, task.info)
    logits = parity.in_batches(formats.load(path).logits, task.test.images)
    return float(np.mean(logits.argmax(-1) == task.test.labels))


def _kernels(network):
    return [np.asarray(layer.kernel) for layer in network.layers if type(layer) is kl.Conv2D]


@pytest.mark.slow
class TestTrainings:
    @pytest.fixture(scope="class")
    def folded(self, trained):
        return fold(trained.network)

    @pytest.fixture(scope="class")
    def float_accuracy(self, folded, digits, tmp_path_factory):
        path = tmp_path_factory.mktemp("float") / "a.tflite"
        return _accuracy(tflite.convert(folded), digits, path)

    def test_quantisation(self, folded, digits, float_accuracy, tmp_path):
        assert float_accuracy > 0.9
        content = optimize.quantise(folded, digits, Job("quantise", epochs=2))
        accuracy = _accuracy(content, digits, tmp_path / "a.tflite")
        signatures = Interpreter(model_content=content).get_signature_list()
        assert signatures == {"serving_default": {"inputs": ["images"], "outputs": ["logits"]}}
        assert accuracy >= float_accuracy - 0.02
        assert len(content) < 0.5 * len(tflite.convert(folded))

    def test_depthwise_kernels_have_a_scale_per_channel(self, digits, rng, tmp_path):
        universal = depthwise_universal(rng)
        full = Architecture.full(universal.graph.num_blocks, 2)
        folded = fold(compact(random_student(universal, full, rng, 10)))
        few = dataclasses.replace(digits, train=digits.train.select(np.arange(320), "train"))
        content = optimize.quantise(folded, few, Job("quantise", epochs=1))
        assert collections.Counter(operators(content)) == {
            ("CONV_2D", "RELU6"): 6,
            ("CONV_2D", "NONE"): 14,  # 5 projections and 9 proxies
            ("DEPTHWISE_CONV_2D", "RELU6"): 5,
            **dict.fromkeys([("QUANTIZE", ""), ("DEQUANTIZE", ""), ("MEAN", "")], 1),
            ("FULLY_CONNECTED", "NONE"): 1,
            ("MAX_POOL_2D", "NONE"): 4,
            ("ADD", "NONE"): 9,
        }
        for kernel, kind in kernels(content):
            assert kernel.type == schema.TensorType.INT8
            channels = kernel.shape[3] if kind == "DEPTHWISE_CONV_2D" else kernel.shape[0]
            assert len(kernel.quantization.scale) == channels
        tflite.save(tmp_path / "a.tflite", content, digits.info)
        shown = digits.test.images
        received = parity.in_batches(formats.load(tmp_path / "a.tflite").logits, shown)
        expected = folded(evaluation_input(shown, digits.preprocessing))
        assert np.mean(received.argmax(-1) == np.argmax(expected, -1)) >= 0.97

    def test_quantisation_mends_what_int8_breaks(self, trained, digits, tmp_path):
        """One loud channel leaves few levels to the others; the function is the same."""
        harmed = keras.models.clone_model(trained.network)
        harmed.set_weights(trained.network.get_weights())
        for block in range(1, 13):
            norm = harmed.get_layer(f"block{block}_bn1")
            loud = np.ones(norm.gamma.shape, np.float32)
            loud[0] = 240.0
            norm.gamma.assign(norm.gamma * loud)
            norm.beta.assign(norm.beta * loud)
            kernel = harmed.get_layer(f"block{block}_conv2").kernel
            kernel.assign(kernel / loud[:, None])
        subject = Subject(harmed, digits, keeps_kernels=False)
        int8, path = TFLite("int8", Options(integer_io=True)), tmp_path / "int8.tflite"
        int8.write(path, subject)
        judge = Judge(harmed, digits.preprocessing, digits.validation)
        won = int8.improve(path, subject, judge.compare).trained
        assert won.before < won.expected - 0.02
        assert won.after > won.before + 0.05

    def test_sparsity(self, folded, digits, float_accuracy, tmp_path):
        sparse = optimize.compress(folded, digits, Job("sparsify", 0.5, epochs=3))
        zeros = [np.mean(kernel == 0) for kernel in _kernels(sparse)]
        assert min(zeros) >= 0.45
        accuracy = _accuracy(tflite.convert(sparse), digits, tmp_path / "a.tflite")
        assert accuracy >= float_accuracy - 0.03

    def test_clusters(self, folded, digits, float_accuracy, tmp_path):
        clustered = optimize.compress(folded, digits, Job("cluster", 16, epochs=3))
        assert max(len(np.unique(kernel)) for kernel in _kernels(clustered)) <= 16
        accuracy = _accuracy(tflite.convert(clustered), digits, tmp_path / "a.tflite")
        assert accuracy >= float_accuracy - 0.03

    def test_export_of_all(self, trained, digits, tmp_path):
        options = Options(
            formats=("tflite",),
            precisions=("float32", "dynamic"),
            sparsity=0.5,
            clusters=16,
            max_accuracy_drop=5.0,
            measure=False,
        )
        published = exporter.export(trained, digits, tmp_path, options)
        names = {path.stem for path in published.files.glob("*.tflite")}
        variants = ("", "sparse_", "clustered_")
        assert names == {f"{v}{p}" for v in variants for p in ("float32", "dynamic")}
        gzip = json.loads((published.files / "export.json").read_text())["gzip_bytes"]
        assert gzip["tflite float32 sparse"] < 0.75 * gzip["tflite float32"]
        assert gzip["tflite float32 clustered"] < 0.4 * gzip["tflite float32"]
