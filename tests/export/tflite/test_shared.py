"""One TFLite file for several tasks, against the tasks' own files."""

import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export import formats, parity
from export.metadata import ArtifactError
from export.tflite import flatbuffer, merging
from export.tflite import kernels as tflite_kernels
from export.tflite import shared as shared_tflite
from export.tflite import single as tflite
from tests.export.tflite.three_tasks import CLASSES, SIZE, info, make_universal


def _images(runtime, count):
    side = runtime.info.preprocessing.resize
    return np.random.default_rng(9).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.mark.parametrize(
    ("precision", "limit"), [("int8", 0), ("dynamic", 0), ("float32", 1e-5), ("float16", 1e-2)]
)
def test_answers_are_those_of_the_tasks_own_files(artifacts, shared, precision, limit):
    tasks = shared_tflite.load(shared[precision])
    assert list(tasks) == list(CLASSES)
    for _ in range(2):  # the tasks take turns, and so do sizes of batches
        for name, count in (("bees", 3), ("ants", 1), ("köter", 2), ("bees", 1)):
            own = formats.load(artifacts[precision][name])
            images = _images(own, count)
            expected, received = own.logits(images), tasks[name].logits(images)
            assert expected.shape == received.shape == (count, len(CLASSES[name]))
            assert np.abs(received - expected).max() <= limit * max(1, np.abs(expected).max())


@pytest.mark.parametrize("integer_io", [False, True])
def test_integer_input_and_output(universal, students, tmp_path, integer_io):
    samples = np.random.default_rng(6).normal(size=(5, 1, SIZE, SIZE, 3)).astype("float32")
    network = tflite_kernels.folded(students["ants"], "int8")
    content = tflite.convert(network, "int8", representative=samples, integer_io=integer_io)
    tflite.save(tmp_path / "own.tflite", content, info("ants"))
    path = tmp_path / "shared.tflite"
    shared_tflite.write(path, {"ants": tmp_path / "own.tflite"}, universal)
    own, all_tasks = formats.load(tmp_path / "own.tflite"), shared_tflite.load(path)
    images = _images(own, 4)
    assert own.prepare(images).dtype == (np.int8 if integer_io else np.float32)
    np.testing.assert_array_equal(all_tasks["ants"].prepare(images), own.prepare(images))
    np.testing.assert_array_equal(all_tasks["ants"].logits(images), own.logits(images))


def _int8(kernel, gamma):
    """Bytes of a kernel in int8: per output channel 127 at the largest value, gamma's sign."""
    scale = np.abs(np.float64(kernel)).max((0, 1, 2)) / 127
    return np.round(kernel / scale * np.sign(gamma)).astype(np.int8).transpose(3, 0, 1, 2)


def _expected_bytes(universal, precision):
    """Bytes of every universal kernel as a file stores it, by name."""
    model = universal.model
    for name in tflite_kernels.universal_convolutions(model):
        kernel = np.asarray(model.get_layer(name).kernel)
        if precision in ("int8", "dynamic"):
            gamma = np.asarray(model.get_layer(name.replace("conv", "bn")).gamma)
            yield name, _int8(kernel, gamma).tobytes()
        else:
            yield name, kernel.transpose(3, 0, 1, 2).astype(precision).tobytes()


@pytest.mark.parametrize("precision", ["int8", "float32", "float16"])
def test_every_universal_kernel_is_there_once(universal, shared, precision):
    content = shared[precision].read_bytes()
    expected = dict(_expected_bytes(universal, precision))
    assert len(expected) == 1 + 3 * 2 + 1  # the stem, two a block, a projection
    assert {name: content.count(kernel) for name, kernel in expected.items()} == dict.fromkeys(
        expected, 1
    )


@pytest.mark.parametrize("precision", tflite.PRECISIONS)
def test_one_more_task_brings_no_universal_kernel(
    universal, artifacts, shared, tmp_path, precision
):
    own = artifacts[precision]
    two = {name: own[name] for name in ("ants", "bees")}
    sizes = shared_tflite.write(tmp_path / "two.tflite", two, universal)
    more = shared[precision].stat().st_size - sizes.shared
    assert sizes.shared == (tmp_path / "two.tflite").stat().st_size
    assert sizes.separate == {name: path.stat().st_size for name, path in two.items()}
    kernels = sum(len(k) for _, k in _expected_bytes(universal, precision))
    assert 0 < more < own["köter"].stat().st_size - 0.9 * kernels


def test_same_files_in_any_order_give_the_same_answers(universal, artifacts, tmp_path):
    """With one task, and with another one first."""
    own = artifacts["int8"]
    for tasks in (["bees"], ["köter", "bees"]):
        path = tmp_path / "shared.tflite"
        shared_tflite.write(path, {name: own[name] for name in tasks}, universal)
        runtime = formats.load(own["bees"])
        images = _images(runtime, 2)
        received = shared_tflite.load(path)["bees"].logits(images)
        np.testing.assert_array_equal(received, runtime.logits(images))


def test_signatures_and_metadata(shared):
    path = shared["int8"]
    signatures = Interpreter(model_path=str(path)).get_signature_list()
    assert signatures == {name: {"inputs": ["images"], "outputs": ["logits"]} for name in CLASSES}
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["tasks.json"]
    assert shared_tflite.read_infos(path) == {name: info(name) for name in CLASSES}


def test_a_task_is_called_what_it_is_called_by(universal, artifacts, tmp_path):
    """The same file twice, under names of its own."""
    own = artifacts["int8"]["ants"]
    path = tmp_path / "shared.tflite"
    shared_tflite.write(path, {"red ants": own, "black ants": own}, universal)
    read = shared_tflite.read_infos(path)
    assert {name: (m.name, m.classes) for name, m in read.items()} == {
        name: (name, CLASSES["ants"]) for name in ("red ants", "black ants")
    }


def test_same_files_give_the_same_bytes(universal, artifacts, shared, tmp_path):
    shared_tflite.write(tmp_path / "again.tflite", artifacts["int8"], universal)
    assert (tmp_path / "again.tflite").read_bytes() == shared["int8"].read_bytes()


def test_constants_lie_where_litert_reads_them_in_place(shared):
    content = shared["float32"].read_bytes()
    for buffer in flatbuffer.read(content).buffers:
        if buffer.data is not None and buffer.data.size > 64:
            assert content.index(buffer.data.tobytes()) % 16 == 0


class TestBadInput:
    def test_no_tasks(self, universal, tmp_path):
        with pytest.raises(ArtifactError, match="expected one for each task"):
            shared_tflite.write(tmp_path / "shared.tflite", {}, universal)

    def test_no_export(self, universal, artifacts, tmp_path):
        bare = tmp_path / "bare.tflite"
        bare.write_bytes(flatbuffer.write(flatbuffer.read(artifacts["int8"]["ants"].read_bytes())))
        with pytest.raises(ArtifactError, match=r"bare.tflite holds no metadata.json"):
            shared_tflite.write(tmp_path / "shared.tflite", {"ants": bare}, universal)
        with pytest.raises(ArtifactError, match=r"bare.tflite holds no tasks.json"):
            shared_tflite.load(bare)

    def test_no_file(self, universal, artifacts, tmp_path):
        gone = {"ants": tmp_path / "gone.tflite"}
        with pytest.raises(ArtifactError, match=r"gone.tflite holds no metadata.json"):
            shared_tflite.write(tmp_path / "shared.tflite", gone, universal)

    @pytest.mark.parametrize("precision", tflite.PRECISIONS)
    def test_another_universal_network(self, artifacts, tmp_path, precision):
        other, path = make_universal(4), tmp_path / "shared.tflite"
        with pytest.raises(ArtifactError, match=r"0.tflite holds no kernel of the universal net"):
            shared_tflite.write(path, artifacts[precision], other)
        assert not path.exists()

    def test_answers_that_differ(self, universal, artifacts, tmp_path, monkeypatch):
        """The file that is there already stays."""
        path, merge = tmp_path / "shared.tflite", merging.merge
        path.write_text("old")

        def damaged(contents):
            model = flatbuffer.read(merge(contents))
            for tensor in model.subgraphs[1].tensors:
                if tensor.quantization is not None and tensor.quantization.scale is not None:
                    tensor.quantization.scale = tensor.quantization.scale * np.float32(1.01)
            return flatbuffer.write(model)

        monkeypatch.setattr(merging, "merge", damaged)
        with pytest.raises(parity.ParityError, match="bees answers otherwise"):
            shared_tflite.write(path, artifacts["int8"], universal)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]
