"""The artifacts of one small network, made once and looked at from several sides."""

import collections
import io
import subprocess
import sys
import zipfile

import numpy as np
import onnx as onnx_library
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from export import formats
from export.metadata import ArtifactError
from export.onnx import single as onnx
from export.saved_model import single as saved_model
from export.tflite import single as tflite
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.support import limits
from tests.builders import random_architecture, random_student

CLASSES = ("ant", "bee", "cow", "dog", "eël")
PREPROCESSING = Preprocessing(
    16, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), flip=True, crop_padding=2, resize=18
)
INFO = TaskInfo("animals", CLASSES, PREPROCESSING)


@pytest.fixture(scope="module")
def network(tiny):
    rng = np.random.default_rng(4)
    architecture = random_architecture(tiny.graph.num_blocks, rng, 3)
    student = random_student(tiny, architecture, rng, len(CLASSES))
    return compact(student)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(5).integers(0, 256, (6, 18, 18, 3), np.uint8)


@pytest.fixture(scope="module")
def expected(network, pixels):
    """Logits in NumPy's reading of the preprocessing: the central 16 of 18 pixels, normalised."""
    window = pixels[:, 1:17, 1:17] / 255.0
    normalised = (window - PREPROCESSING.mean) / PREPROCESSING.std
    return network(normalised.astype("float32"), training=False).numpy()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    folded = fold(network)
    rng = np.random.default_rng(6)
    samples = rng.normal(size=(20, 1, 16, 16, 3)).astype("float32")
    for precision in tflite.PRECISIONS:
        content = tflite.convert(folded, precision, representative=samples)
        tflite.save(folder / f"{precision}.tflite", content, INFO)
    content = tflite.convert(folded, "int8", representative=samples, integer_io=True)
    tflite.save(folder / "int8_io.tflite", content, INFO)
    (folder / "float32.onnx").write_bytes(onnx.convert(folded, INFO))
    saved_model.save(folder / "saved_model", folded, INFO)
    return folder


def _operators(path):
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    names = {value: key for key, value in vars(schema.BuiltinOperator).items()}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    (graph,) = model.subgraphs
    return collections.Counter(names[codes[op.opcodeIndex]] for op in graph.operators)


class TestRuntimes:
    @pytest.mark.parametrize("name", ["float32.tflite", "float32.onnx", "saved_model"])
    def test_float32_computes_what_keras_computes(self, folder, name, pixels, expected):
        logits = formats.load(folder / name).logits(pixels)
        assert np.abs(logits - expected).max() <= 1e-4 * max(1, np.abs(expected).max())

    @pytest.mark.parametrize(
        ("name", "limit"), [("float16", 0.01), ("dynamic", 0.2), ("int8", 0.4), ("int8_io", 0.4)]
    )
    def test_other_precisions_are_near(self, folder, name, limit, pixels, expected):
        logits = formats.load(folder / f"{name}.tflite").logits(pixels)
        assert logits.dtype == np.float32
        assert np.abs(logits - expected).max() <= limit * np.abs(expected).max()

    @pytest.mark.parametrize(
        "name", ["float32.tflite", "int8.tflite", "float32.onnx", "saved_model"]
    )
    def test_batch_is_free(self, folder, name, pixels):
        runtime = formats.load(folder / name)
        together = runtime.logits(pixels)
        alone = np.concatenate([runtime.logits(image[None]) for image in pixels])
        np.testing.assert_allclose(together, alone, atol=1e-4)

    @pytest.mark.parametrize("name", ["float16.tflite", "float32.onnx", "saved_model"])
    def test_metadata_travels_inside(self, folder, name):
        assert formats.load(folder / name).info == INFO

    def test_missing(self, tmp_path):
        with pytest.raises(ArtifactError, match="There is no artifact"):
            formats.load(tmp_path / "model.tflite")

    @pytest.mark.parametrize("name", ["a.tflite", "a.onnx", "a.bin", "folder"])
    def test_of_another_program(self, tmp_path, name):
        path = tmp_path / name
        path.mkdir() if name == "folder" else path.write_bytes(b"something else")
        with pytest.raises(ArtifactError, match=r"expected|that pipelines\.export wrote"):
            formats.load(path)


class TestTFLite:
    def test_float_operators(self, folder):
        kinds = set(_operators(folder / "float32.tflite"))
        assert kinds <= {
            "CONV_2D",
            "DEPTHWISE_CONV_2D",
            "ADD",
            "PAD",
            "MAX_POOL_2D",
            "AVERAGE_POOL_2D",
            "MEAN",
            "FULLY_CONNECTED",
            "RELU",
        }

    def test_int8_is_int8_throughout(self, folder):
        with_float = _operators(folder / "int8.tflite")
        assert (with_float["QUANTIZE"], with_float["DEQUANTIZE"]) == (1, 1)
        integers = _operators(folder / "int8_io.tflite")
        assert not {"QUANTIZE", "DEQUANTIZE"} & set(integers)
        model = schema.ModelT.InitFromPackedBuf((folder / "int8_io.tflite").read_bytes(), 0)
        types = {tensor.type for tensor in model.subgraphs[0].tensors}
        assert schema.TensorType.FLOAT32 not in types

    def test_kernels_are_quantised_per_channel(self, folder):
        model = schema.ModelT.InitFromPackedBuf((folder / "int8.tflite").read_bytes(), 0)
        (graph,) = model.subgraphs
        convolution = next(
            op
            for op in graph.operators
            if model.operatorCodes[op.opcodeIndex].builtinCode == schema.BuiltinOperator.CONV_2D
        )
        kernel = graph.tensors[convolution.inputs[1]]
        assert len(kernel.quantization.scale) == kernel.shape[0] > 1

    def test_sizes_fall_with_precision(self, folder):
        size = {p: (folder / f"{p}.tflite").stat().st_size for p in tflite.PRECISIONS}
        assert size["int8"] < size["float16"] < size["float32"]
        assert size["dynamic"] < size["float16"]

    def test_labels_lie_in_the_file(self, folder):
        with zipfile.ZipFile(folder / "int8.tflite") as archive:
            assert archive.read("labels.txt").decode().splitlines() == list(CLASSES)

    def test_unknown_precision(self, network):
        with pytest.raises(ArtifactError, match=r"'int4'.*float32, float16"):
            tflite.convert(network, "int4")

    def test_int8_without_images(self, network):
        with pytest.raises(ArtifactError, match="representative images and received none"):
            tflite.convert(network, "int8")


class TestONNX:
    def test_operators(self, folder):
        model = onnx_library.load(folder / "float32.onnx")
        assert model.opset_import[0].version == onnx.OPSET
        kinds = {node.op_type for node in model.graph.node}
        assert not {"BatchNormalization", "Mul"} & kinds
        assert kinds >= {"Conv", "Relu", "Add"}

    def test_names_and_free_batch(self, folder):
        graph = onnx_library.load(folder / "float32.onnx").graph
        (images,), (logits,) = graph.input, graph.output
        assert (images.name, logits.name) == ("images", "logits")
        for value in (images, logits):
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class TestSavedModel:
    @pytest.fixture(scope="class")
    def signatures(self, folder):
        loaded = tf.saved_model.load(str(folder / "saved_model"))
        yield loaded.signatures
        del loaded

    def test_answers(self, signatures, pixels, expected):
        answer = signatures["serving_default"](images=tf.constant(pixels))
        np.testing.assert_allclose(answer["logits"], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(tf.reduce_sum(answer["scores"], -1), 1, rtol=1e-5)
        names = [name.decode() for name in answer["class_name"].numpy()]
        assert names == [CLASSES[i] for i in expected.argmax(-1)]

    def test_encoded_images_of_any_kind_and_size(self, signatures, pixels, expected):
        grey = np.asarray(Image.fromarray(pixels[1]).convert("L"))
        transparent = np.concatenate([pixels[2], np.full((18, 18, 1), 77, np.uint8)], -1)
        large = np.kron(pixels[3], np.ones((5, 5, 1), np.uint8))
        contents = [_png(image) for image in (pixels[0], grey, transparent, large)]
        logits = signatures["encoded_images"](encoded=tf.constant(contents))["logits"]
        np.testing.assert_allclose(logits[0], expected[0], rtol=1e-4, atol=1e-4)
        three = np.repeat(grey[..., None], 3, -1)
        same = signatures["serving_default"](images=tf.constant(three[None]))["logits"]
        np.testing.assert_allclose(logits[1], same[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(logits[2], expected[2], rtol=1e-4, atol=1e-4)
        resized = signatures["serving_default"](images=tf.constant(large[None]))["logits"]
        np.testing.assert_allclose(logits[3], resized[0], rtol=1e-4, atol=1e-4)

    def test_float_images(self, signatures, pixels, expected):
        levels = tf.constant(pixels.astype("float32") + 0.3)
        logits = signatures["float_images"](images=levels)["logits"]
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "0 bytes that are no JPEG, PNG"),
            (b"hello", "5 bytes that are no JPEG, PNG"),
            (b"GIF89a" + b"\0" * 30, "GIF file that is damaged"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"\xff\xd8\xff", "JPEG"),
        ],
    )
    def test_bad_content_is_an_error_of_its_request(self, signatures, pixels, content, reason):
        with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
            signatures["encoded_images"](encoded=tf.constant([_png(pixels[0]), content]))
        signatures["encoded_images"](encoded=tf.constant([_png(pixels[0])]))

    def test_truncated_images(self, signatures, pixels):
        file = io.BytesIO()
        Image.fromarray(np.kron(pixels[0], np.ones((9, 9, 1), np.uint8))).save(file, "JPEG")
        for content in (file.getvalue(), _png(pixels[0])):
            with pytest.raises(tf.errors.InvalidArgumentError):
                signatures["encoded_images"](encoded=tf.constant([content[: len(content) // 2]]))

    def test_huge_image_is_refused_by_its_header(self, signatures):
        side = 65_500
        header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"65500x65500.*{limits.PIXELS}"):
            signatures["encoded_images"](encoded=tf.constant([header + b"\0" * 50]))

    def test_thin_image_is_refused_by_what_it_would_become(self, signatures):
        thin = _png(np.zeros((40_000, 1, 3), np.uint8))
        signatures["encoded_images"](encoded=tf.constant([_png(np.zeros((90, 30, 3), np.uint8))]))
        thinner = _png(np.zeros((250_000, 1, 3), np.uint8))
        signatures["encoded_images"](encoded=tf.constant([thin]))
        with pytest.raises(tf.errors.InvalidArgumentError, match="250000x1 pixels"):
            signatures["encoded_images"](encoded=tf.constant([thinner]))

    @pytest.mark.parametrize("channels", [1, 4])
    def test_tensor_of_other_channels(self, signatures, channels):
        with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError), match="3"):
            signatures["serving_default"](images=tf.zeros([1, 18, 18, channels], tf.uint8))

    @pytest.mark.parametrize("signature", ["serving_default", "encoded_images"])
    def test_the_loader_of_tensorflow_serving_runs_it(self, folder, tmp_path, pixels, signature):
        inputs = {
            "serving_default": ("images", pixels[:1]),
            "encoded_images": ("encoded", np.array([_png(pixels[0])])),
        }
        name, value = inputs[signature]
        np.save(tmp_path / "input.npy", value)
        command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"]
        command += ["--dir", folder / "saved_model", "--tag_set", "serve"]
        command += ["--signature_def", signature, "--inputs", f"{name}={tmp_path / 'input.npy'}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "class_name" in done.stdout
