"""ONNX files of many tasks over one file of universal kernels."""

import collections
import gc

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import ExternalDataInfo

from export import bundle, formats, parity, shared_tasks
from export.metadata import ArtifactError
from export.onnx import sessions as onnx_sessions
from export.onnx import shared as shared_onnx
from tailor_tf.bundle import sharing
from tailor_tf.support.names import TaskNameError
from tests.builders import universal
from tests.export.shared_tasks import (
    TASKS,
    assert_same_logits,
    damaged,
    own_logits,
    pixels,
    random_tasks,
    stranger,
    subject,
)

NAMES = [name for name, *_ in TASKS]


def _publish(folder, tasks):
    return bundle.publish(shared_onnx.SharedONNX(), subject(tasks, folder))


@pytest.fixture(scope="module")
def tasks(small):
    return random_tasks(small)


@pytest.fixture(scope="module")
def folder(tasks, tmp_path_factory):
    return _publish(tmp_path_factory.mktemp("exports"), tasks)


@pytest.fixture(scope="module")
def sessions(folder):
    return onnx_sessions.load(folder)


def _kernel_file(folder):
    (path,) = folder.glob("universal-*.bin")
    return path


def _initializers(folder, name):
    """Initializers of a task's file: what lies in it, and where the others lie."""
    graph = onnx.load(folder / f"{name}.onnx", load_external_data=False).graph
    outside = onnx.TensorProto.EXTERNAL
    inline = {t.name: t for t in graph.initializer if t.data_location != outside}
    places = {
        t.name: (tuple(t.dims), ExternalDataInfo(t))
        for t in graph.initializer
        if t.data_location == outside
    }
    return inline, places


class TestAnswers:
    @pytest.mark.parametrize("name", NAMES)
    def test_each_file_by_itself(self, tasks, folder, name):
        images = pixels(tasks[name])
        runtime = formats.load(folder / f"{name}.onnx")
        assert_same_logits(runtime.logits(images), own_logits(tasks[name], images))

    def test_all_in_one_process(self, tasks, sessions):
        assert sorted(sessions) == sorted(NAMES)
        assert len(sessions) == 3
        for name, task in tasks.items():
            images = pixels(task)
            assert_same_logits(sessions[name].logits(images), own_logits(task, images))
            assert sessions[name].info == shared_tasks.info(name, task)

    def test_a_session_that_outlives_the_others(self, tasks, folder):
        runtime = onnx_sessions.load(folder)["animals"]
        gc.collect()
        images = pixels(tasks["animals"])
        assert_same_logits(runtime.logits(images), own_logits(tasks["animals"], images))

    def test_batch_is_free(self, tasks, sessions):
        images = pixels(tasks["animals"])
        together = sessions["animals"].logits(images)
        alone = np.concatenate([sessions["animals"].logits(image[None]) for image in images])
        np.testing.assert_allclose(together, alone, atol=1e-4)


class TestSharing:
    def test_the_file_holds_every_universal_kernel_once(self, small, folder):
        content = _kernel_file(folder).read_bytes()
        kernels = sharing.universal_kernels(small)
        assert len(kernels) == 1 + 4  # stem and blocks; the head is the tasks'
        for kernel in kernels.values():
            assert content.count(kernel.numpy().transpose(3, 2, 0, 1).tobytes()) == 1
        page = 4096
        pages = sum(-(-kernel.numpy().nbytes // page) for kernel in kernels.values())
        assert len(content) <= pages * page

    @pytest.mark.parametrize("name", NAMES)
    def test_tasks_name_the_kernels_of_their_architecture(self, small, tasks, folder, name):
        _, places = _initializers(folder, name)
        blocks = {"stem", *(f"block{b}" for b in tasks[name].student.architecture.universal_blocks)}
        assert {key.split("_")[0] for key in places} == blocks
        content = _kernel_file(folder).read_bytes()
        for key, (shape, place) in places.items():
            assert place.location == _kernel_file(folder).name
            received = np.frombuffer(content, np.float32, place.length // 4, place.offset)
            kernel = sharing.universal_kernels(small)[key].numpy()
            assert np.array_equal(received.reshape(shape), kernel.transpose(3, 2, 0, 1))

    @pytest.mark.parametrize("name", NAMES)
    def test_no_kernel_lies_in_the_file_of_a_task(self, tasks, folder, name):
        inline, _ = _initializers(folder, name)
        own = sum(v.numpy().nbytes for v in tasks[name].student.task_weights().values())
        assert sum(len(tensor.raw_data) for tensor in inline.values()) <= 1.1 * own + 4096
        assert not any(tensor.dims[2:] == [3, 3] for tensor in inline.values())
        assert (folder / f"{name}.onnx").stat().st_size <= 1.1 * own + 64 * 1024

    def test_nothing_is_folded_into_a_kernel(self, tasks, folder):
        graph = onnx.load(folder / "animals.onnx", load_external_data=False).graph
        kinds = collections.Counter(node.op_type for node in graph.node)
        assert kinds["BatchNormalization"] == len(_initializers(folder, "animals")[1])
        assert "Transpose" not in {
            node.op_type
            for node in graph.node
            if set(node.input) & set(_initializers(folder, "animals")[1])
        }

    def test_the_file_is_the_same_whichever_tasks_there_are(self, tasks, folder, tmp_path):
        shared_onnx.save(tmp_path, {"digits.v2": tasks["digits.v2"]})
        assert _kernel_file(tmp_path).name == _kernel_file(folder).name
        assert _kernel_file(tmp_path).read_bytes() == _kernel_file(folder).read_bytes()

    def test_sessions_read_one_memory(self, tasks, tmp_path):
        """What is written into the mapped file is what every session computes with."""
        shared_onnx.save(tmp_path, tasks)
        sessions = onnx_sessions.load(tmp_path)
        images = {name: pixels(task) for name, task in tasks.items()}
        before = {name: sessions[name].logits(images[name]) for name in tasks}
        _, places = _initializers(tmp_path, "animals")
        stem = places["stem_conv/kernel"][1]
        file = np.memmap(_kernel_file(tmp_path), np.uint8, "r+")
        file[stem.offset : stem.offset + stem.length] = 0
        for name, logits in before.items():
            assert not np.allclose(sessions[name].logits(images[name]), logits)


class TestBadInput:
    def test_tasks_that_cannot_share(self, small, tasks, tmp_path):
        with pytest.raises(ArtifactError, match="no task to export"):
            shared_onnx.save(tmp_path, {})
        with pytest.raises(TaskNameError, match=r"'\.\./a' cannot be the name of a task"):
            _publish(tmp_path, {"../a": tasks["animals"]})
        other = universal(small.graph, np.random.default_rng(99))
        both = {"a": tasks["animals"], "b": stranger(tasks["animals"], other)}
        with pytest.raises(ArtifactError, match="b belongs to the universal network"):
            _publish(tmp_path, both)
        assert [path.name for path in tmp_path.iterdir()] == ["onnx"]
        assert not list((tmp_path / "onnx").iterdir())

    def test_a_file_that_answers_otherwise_is_not_published(self, tasks, tmp_path, monkeypatch):
        monkeypatch.setattr(sharing, "shared_network", damaged(sharing.shared_network))
        with pytest.raises(parity.ParityError, match="onnx animals is not what was trained"):
            _publish(tmp_path, {"animals": tasks["animals"]})
        assert not list((tmp_path / "onnx").iterdir())

    def test_empty_folder(self, tmp_path):
        with pytest.raises(ArtifactError, match=r"holds no \.onnx file"):
            onnx_sessions.load(tmp_path)

    @pytest.mark.parametrize("damage", ["gone", "short", "altered"])
    def test_damaged_kernels(self, tasks, folder, tmp_path, damage):
        task, kernels = folder / "animals.onnx", _kernel_file(folder)
        (tmp_path / task.name).write_bytes(task.read_bytes())
        content = bytearray(kernels.read_bytes())
        content[100] ^= 1
        contents = {"short": kernels.read_bytes()[:-1], "altered": bytes(content)}
        if damage in contents:
            (tmp_path / kernels.name).write_bytes(contents[damage])
        with pytest.raises(ArtifactError, match=f"{kernels.name} are missing, cut short or alt"):
            onnx_sessions.load(tmp_path)

    def test_kernels_outside_of_the_folder(self, folder, tmp_path):
        model = onnx.load(folder / "animals.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = f"../{entry.value}"
        (tmp_path / "inside").mkdir()
        (tmp_path / "inside" / "animals.onnx").write_bytes(model.SerializeToString())
        kernels = _kernel_file(folder)
        (tmp_path / kernels.name).write_bytes(kernels.read_bytes())
        with pytest.raises(ArtifactError, match="missing, cut short or altered"):
            onnx_sessions.load(tmp_path / "inside")

    def test_a_single_task_file_among_them(self, tmp_path):
        (tmp_path / "a.onnx").write_bytes(b"something else")
        with pytest.raises(ArtifactError, match=r"a\.onnx"):
            onnx_sessions.load(tmp_path)
