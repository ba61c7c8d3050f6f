"""One TFLite file for several tasks, against the tasks' own files."""

import functools
import math
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export import exportable, exporter, parity, runtimes
from export.metadata import ArtifactError, Metadata
from export.tflite import flatbuffer, unfolding
from export.tflite import kernels as tflite_kernels
from export.tflite import shared as shared_tflite
from export.tflite import single as tflite
from tailor_tf import load_task, load_universal, tailor
from tailor_tf.data import Preprocessing
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.network import blocks
from tailor_tf.network.architecture import Architecture, Path
from tailor_tf.network.graph import chain
from tests import helpers
from tests.export.test_export_real import SETTINGS
from tests.shared_data import image_set

CLASSES = {"ants": ("a", "b", "c"), "bees": ("d", "e", "f", "g"), "köter": ("h", "i")}
SIZE = 8
# Three residual blocks; one task does without the second.
FULL = Architecture.full(3, 1)
SOME = Architecture.full(3, 2).without([Path.block(2)])
ARCHITECTURES = {"ants": FULL, "bees": SOME, "köter": FULL}


def _preprocessing(seed):
    mean = np.random.default_rng(seed).uniform(0.3, 0.7, 3)
    return Preprocessing(SIZE, tuple(mean), (0.2, 0.25, 0.3), False, 0, resize=SIZE + 2 * seed)


def _stem(x, *, name, layers):
    return blocks.conv_bn(x, 8, 3, 1, conv_name=f"{name}_conv", bn_name=f"{name}_bn", layers=layers)


def _head(x, *, name, layers):
    return keras.layers.GlobalAveragePooling2D(name=f"{name}_average")(x)


def _universal(seed):
    """Weights in half precision; scales of batch norms of either sign, some next to nothing."""
    steps = ((8, 1), (16, 2), (16, 1))
    parts = [functools.partial(blocks.basic_block, filters=f, strides=s) for f, s in steps]
    keras.utils.set_random_seed(seed)
    graph = chain("basic", {"name": "basic"}, (SIZE, SIZE, 3), _stem, parts, _head)
    rng = np.random.default_rng(seed)
    universal = helpers.universal(graph, rng)
    for layer in universal.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma = np.array(layer.gamma) * rng.choice([-1.0, 1.0], layer.gamma.shape)
            gamma[:4] = 0.0, 1e-4, 1e-6, -1e-9
            layer.gamma.assign(gamma)
    weights = universal.model.get_weights()
    universal.model.set_weights([w.astype("float16").astype("float32") for w in weights])
    return universal


def _student(universal, name, seed):
    rng, architecture = np.random.default_rng(seed), ARCHITECTURES[name]
    student = helpers.random_student(universal, architecture, rng, len(CLASSES[name]))
    return compact(student, universal.graph, architecture)


def _save(path, network, precision, metadata):
    samples = np.random.default_rng(6).normal(size=(20, 1, SIZE, SIZE, 3)).astype("float32")
    content = tflite.convert(network, precision, representative=samples)
    tflite.save(path, content, metadata)
    return path


@pytest.fixture(scope="module")
def universal():
    return _universal(3)


@pytest.fixture(scope="module")
def students(universal):
    return {name: _student(universal, name, seed) for seed, name in enumerate(CLASSES)}


@pytest.fixture(scope="module")
def artifacts(students, tmp_path_factory):
    """The tasks' own files, by precision and task."""
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        precision: {
            name: _save(
                folder / f"{precision}_{place}.tflite",
                tflite_kernels.folded(network, precision),
                precision,
                Metadata(name, CLASSES[name], _preprocessing(place)),
            )
            for place, (name, network) in enumerate(students.items())
        }
        for precision in tflite.PRECISIONS
    }


@pytest.fixture(scope="module")
def shared(artifacts, universal, tmp_path_factory):
    """The files of all tasks, by precision."""
    folder = tmp_path_factory.mktemp("shared")
    for precision, own in artifacts.items():
        shared_tflite.write(folder / f"{precision}.tflite", own, universal)
    return {precision: folder / f"{precision}.tflite" for precision in artifacts}


def _images(runtime, count):
    side = runtime.metadata.preprocessing.resize
    return np.random.default_rng(9).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.mark.parametrize(
    ("precision", "limit"), [("int8", 0), ("dynamic", 0), ("float32", 1e-5), ("float16", 1e-2)]
)
def test_answers_are_those_of_the_tasks_own_files(artifacts, shared, precision, limit):
    tasks = shared_tflite.load(shared[precision])
    assert list(tasks) == list(CLASSES)
    for _ in range(2):  # the tasks take turns, and so do sizes of batches
        for name, count in (("bees", 3), ("ants", 1), ("köter", 2), ("bees", 1)):
            own = runtimes.load(artifacts[precision][name])
            images = _images(own, count)
            expected, received = own.logits(images), tasks[name].logits(images)
            assert expected.shape == received.shape == (count, len(CLASSES[name]))
            assert np.abs(received - expected).max() <= limit * max(1, np.abs(expected).max())


@pytest.mark.parametrize("integer_io", [False, True])
def test_integer_input_and_output(universal, students, tmp_path, integer_io):
    samples = np.random.default_rng(6).normal(size=(5, 1, SIZE, SIZE, 3)).astype("float32")
    network = tflite_kernels.folded(students["ants"], "int8")
    content = tflite.convert(network, "int8", representative=samples, integer_io=integer_io)
    metadata = Metadata("ants", CLASSES["ants"], _preprocessing(0))
    tflite.save(tmp_path / "own.tflite", content, metadata)
    path = tmp_path / "shared.tflite"
    shared_tflite.write(path, {"ants": tmp_path / "own.tflite"}, universal)
    own, all_tasks = runtimes.load(tmp_path / "own.tflite"), shared_tflite.load(path)
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
        runtime = runtimes.load(own["bees"])
        images = _images(runtime, 2)
        received = shared_tflite.load(path)["bees"].logits(images)
        np.testing.assert_array_equal(received, runtime.logits(images))


def test_signatures_and_metadata(shared):
    path = shared["int8"]
    signatures = Interpreter(model_path=str(path)).get_signature_list()
    assert signatures == {name: {"inputs": ["images"], "outputs": ["logits"]} for name in CLASSES}
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["tasks.json"]
    for place, (name, metadata) in enumerate(shared_tflite.read_metadata(path).items()):
        assert metadata == Metadata(name, CLASSES[name], _preprocessing(place))


def test_a_task_is_called_what_it_is_called_by(universal, artifacts, tmp_path):
    """The same file twice, under names of its own."""
    own = artifacts["int8"]["ants"]
    path = tmp_path / "shared.tflite"
    shared_tflite.write(path, {"red ants": own, "black ants": own}, universal)
    read = shared_tflite.read_metadata(path)
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


def test_kernels_that_others_are_added_to_elsewhere_stay_apart(small):
    """The blocks of this network are one convolution each, and proxies read what they read."""
    rng = np.random.default_rng(5)
    architecture = Architecture.full(4, 2)
    network = compact(helpers.random_student(small, architecture, rng), small.graph, architecture)
    apart = tflite_kernels.folded(network, "float32")
    x = helpers.images(small.graph, rng)
    np.testing.assert_allclose(apart(x), network(x), rtol=1e-4, atol=1e-4)
    names = tflite_kernels.universal_convolutions(network)
    assert names == ["stem_conv", *(f"block{n}_conv" for n in (1, 2, 3, 4))]
    assert len(apart.layers) > len(fold(network).layers)
    for name in names:
        ratio = np.asarray(apart.get_layer(name).kernel / network.get_layer(name).kernel)
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0, 0, 0], ratio.shape), rtol=1e-4)


def test_bytes_of_a_task(students):
    """ "bees": blocks 1 and 3, a proxy in each layer and two in the third."""
    stem = 8 * 8  # four bytes of bias and four of scale for a channel
    first = 8 * (8 + 8) + (8 * 8 + 8 * 8)
    second = (8 * 16 + 8 * 16) * 2
    third = 8 * (16 + 16) + (16 * 16 + 8 * 16) + (8 * 16 + 8 * 16)
    classifier = 16 * 4 + 8 * 4
    assert tflite_kernels.task_bytes(students["bees"]) == stem + first + second + third + classifier


def test_int8_kernels_are_near_those_that_they_stand_for(universal, students):
    """Of each channel half a step; next to nothing is what is next to nothing."""
    x = helpers.images(universal.graph, np.random.default_rng(7), batch=8)
    for network in students.values():
        expected, received = network(x).numpy(), tflite_kernels.folded(network, "int8")(x).numpy()
        assert 0 < np.abs(received - expected).max() < 0.05 * np.abs(expected).max()


def test_network_is_left_as_it_is(students):
    network = students["ants"]
    before = [np.array(w) for w in network.get_weights()]
    tflite_kernels.folded(network, "int8")
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


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
        other, path = _universal(4), tmp_path / "shared.tflite"
        with pytest.raises(ArtifactError, match=r"0.tflite holds no kernel of the universal net"):
            shared_tflite.write(path, artifacts[precision], other)
        assert not path.exists()

    def test_answers_that_differ(self, universal, artifacts, tmp_path, monkeypatch):
        """The file that is there already stays."""
        path, merge = tmp_path / "shared.tflite", shared_tflite.merge
        path.write_text("old")

        def damaged(contents):
            model = flatbuffer.read(merge(contents))
            for tensor in model.subgraphs[1].tensors:
                if tensor.quantization is not None and tensor.quantization.scale is not None:
                    tensor.quantization.scale = tensor.quantization.scale * np.float32(1.01)
            return flatbuffer.write(model)

        monkeypatch.setattr(shared_tflite, "merge", damaged)
        with pytest.raises(parity.ParityError, match="bees answers otherwise"):
            shared_tflite.write(path, artifacts["int8"], universal)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_tasks_of_real_images(tmp_path):
    """Tailored to real images, exported by the program's way, compared over whole test splits."""
    universal = load_universal("tiny_imagenet")
    options = exporter.Options(
        formats=("tflite",), precisions=("float32", "int8"), max_accuracy_drop=2, measure=False
    )
    own, tasks, sources = {}, {}, {}
    for name in ("digits", "sign_digits", "dtd10"):
        where = name if name == "digits" else f"folder:{image_set(name, 'train', 'test')}"
        tasks[name] = load_task(where, image_size=32, flip=name == "dtd10")
        tailor(universal, tasks[name], tmp_path / name, SETTINGS)
        sources[name] = exportable.from_run(tmp_path / name, universal)
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
            expected = parity.in_batches(runtimes.load(artifacts[name]).logits, images[name])
            received = parity.in_batches(runtime.logits, images[name])
            assert np.mean(expected.argmax(-1) == received.argmax(-1)) >= 0.999
    contents = {name: path.read_bytes() for name, path in artifacts.items()}
    whole = len(shared_tflite.merge(contents))
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
        cost = whole - len(shared_tflite.merge({other: contents[other] for other in others}))
        assert cost - new_bytes <= 1.1 * tflite_kernels.task_bytes(each.network) + 65536
