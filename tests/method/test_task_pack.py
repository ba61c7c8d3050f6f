import contextlib
import dataclasses
import math

import numpy as np
import pytest
import safetensors

from tailor_tf import backbones
from tailor_tf.backbones.universal import Universal
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.task_info import TaskInfo
from tailor_tf.method.student import build_student
from tailor_tf.method.task_pack import (
    TailoredTask,
    TaskPackError,
    load_task_pack,
    read_header,
    save_task_pack,
)
from tailor_tf.network import weights
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.graph import build_network
from tailor_tf.network.weights import WeightsError
from tests.builders import (
    depthwise_universal,
    images,
    random_architecture,
    random_student,
    randomise,
)

CLASSES = ("airplane", "ship", "tram", "vélo")
PREPROCESSING = Preprocessing(16, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25), flip=True, crop_padding=2)
INFO = TaskInfo("vehicles", CLASSES, PREPROCESSING)


@pytest.fixture(scope="module")
def tailored(tiny):
    rng = np.random.default_rng(4)
    architecture = random_architecture(12, rng, 3)
    student = random_student(tiny, architecture, rng, len(CLASSES))
    return TailoredTask(INFO, student)


@pytest.fixture
def pack(tailored, tmp_path):
    save_task_pack(tmp_path / "vehicles.safetensors", tailored)
    return tmp_path / "vehicles.safetensors"


def _keys(file):
    with safetensors.safe_open(file, framework="numpy") as tensors:
        return {key: tensors.get_tensor(key).size for key in tensors.keys()}  # noqa: SIM118


def _copy(network):
    model = build_network(network.graph, 7)
    weights.assign(model, weights.arrays(network.model), origin="the universal network")
    return Universal(network.graph, model)


def test_round_trip_gives_the_same_logits(pack, tailored, tiny, rng):
    again = load_task_pack(pack, tiny)
    assert again.info == tailored.info == INFO
    assert again.student.architecture == tailored.student.architecture
    assert again.student.universal is tiny
    x = images(tiny.graph, rng)
    expected, received = tailored.student.model(x), again.student.model(x)
    np.testing.assert_array_equal(received["logits"], expected["logits"])


def test_universal_network_with_the_same_weights_will_do(pack, tailored, tiny, rng):
    again = load_task_pack(pack, _copy(tiny))
    x = images(tiny.graph, rng)
    expected, received = tailored.student.model(x), again.student.model(x)
    np.testing.assert_array_equal(received["logits"], expected["logits"])


def test_loaded_student_holds_no_kernels_of_its_own(pack, tiny):
    again = load_task_pack(pack, tiny)
    kernel = tiny.model.get_layer("block5_conv1").kernel
    assert all(
        variable is kernel
        for variable in again.student.model.weights
        if variable.path == "block5_conv1/kernel"
    )


def test_file_holds_the_task_and_nothing_universal(pack, tailored, tiny):
    sizes = _keys(pack)
    in_student = set(weights.variables(tailored.student.model))
    shared = {
        key
        for key in set(weights.variables(tiny.model)) & in_student
        if not key.startswith(("classifier/", "head"))
        and not key.endswith(("/moving_mean", "/moving_variance"))
    }
    assert any(key.endswith("_conv1/kernel") for key in shared)
    assert set(sizes) == in_student - shared
    header = 8 + int.from_bytes(pack.read_bytes()[:8], "little")
    assert pack.stat().st_size == header + 4 * sum(sizes.values())
    kernels = sum(math.prod(v.shape) for v in tiny.model.weights if v.path.endswith("/kernel"))
    assert pack.stat().st_size < 4 * kernels


def test_pack_of_a_pruned_block_does_not_store_its_statistics(tiny, rng, tmp_path):
    full = random_architecture(12, rng, 3)
    last = max(path for path in full.paths if path.universal and len(full.into(path.target)) > 1)
    left = full.without([last])
    student = build_student(tiny, left, len(CLASSES))
    save_task_pack(tmp_path / "pack", TailoredTask(INFO, student))
    assert not [key for key in _keys(tmp_path / "pack") if key.startswith(f"{last.name}_bn")]


def test_header_says_all_but_the_weights(pack, tailored, tiny):
    header = read_header(pack)
    assert header.info == INFO and header.architecture == tailored.student.architecture
    assert (header.backbone, header.fingerprint) == (tiny.graph.config, tiny.fingerprint)


class TestErrors:
    @pytest.mark.parametrize("field", ["classes", "universal", "architecture"])
    def test_description_that_lacks_something(self, pack, tiny, field):
        tensors, metadata = weights.read(pack)
        del metadata[field]
        weights.write(pack, tensors, metadata)
        with pytest.raises(ValueError, match=r"is damaged|expected name, classes"):
            load_task_pack(pack, tiny)

    def test_another_universal_network(self, pack, tiny):
        other = _copy(tiny)
        randomise(other.model, np.random.default_rng(99))
        message = (
            rf"vehicles.safetensors belongs to the universal network .*wide_resnet26.* with "
            rf"fingerprint {tiny.fingerprint[:16]}; received .*{other.fingerprint[:16]}"
        )
        with pytest.raises(TaskPackError, match=message):
            load_task_pack(pack, other)

    def test_another_backbone(self, pack, small):
        with pytest.raises(TaskPackError, match=r"belongs to .*wide_resnet26.*received .*small"):
            load_task_pack(pack, small)

    def test_universal_weights_are_no_pack(self, tiny, tmp_path):
        weights.write(tmp_path / "file", weights.arrays(tiny.model), {"backbone": {}})
        with pytest.raises(TaskPackError, match=r"file is no task pack of version 2"):
            load_task_pack(tmp_path / "file", tiny)

    def test_pack_of_another_version(self, pack, tiny):
        tensors, metadata = weights.read(pack)
        weights.write(pack, tensors, {**metadata, "task_pack": 99})
        with pytest.raises(TaskPackError, match=r"is no task pack of version 2"):
            load_task_pack(pack, tiny)

    def test_pack_with_a_kernel_of_the_head(self, pack, tiny):
        """Earlier versions trained the head's kernels per task."""
        tensors, metadata = weights.read(pack)
        del metadata["checksum"]
        weights.write(pack, {**tensors, "head_conv/kernel": np.ones((1, 1, 4, 8), "f4")}, metadata)
        with pytest.raises(TaskPackError, match=r"head_conv/kernel of its own.*earlier version"):
            load_task_pack(pack, tiny)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
    def test_truncated_file(self, pack, tiny, share):
        content = pack.read_bytes()
        pack.write_bytes(content[: int(share * len(content))])
        message = r"Cannot read weights from .*vehicles.safetensors.*Expected a safetensors file"
        with pytest.raises(WeightsError, match=message):
            load_task_pack(pack, tiny)

    @pytest.mark.parametrize("place", [0.3, 0.6, 0.9, "airplane", "0.2"])
    def test_altered_file(self, pack, tiny, place):
        content = bytearray(pack.read_bytes())
        header = 8 + int.from_bytes(content[:8], "little")
        if isinstance(place, str):
            at = content.index(place.encode())
        else:
            at = header + int(place * (len(content) - header))
        content[at] ^= 1
        pack.write_bytes(content)
        with pytest.raises(TaskPackError, match=r"vehicles.safetensors was altered.*checksum"):
            load_task_pack(pack, tiny)

    def test_pack_of_a_program_that_wrote_no_checksum(self, pack, tailored, tiny):
        tensors, metadata = weights.read(pack)
        del metadata["checksum"]
        weights.write(pack, tensors, metadata)
        assert load_task_pack(pack, tiny).info.classes == CLASSES

    def test_same_weights_for_another_size_of_images(self, pack, tiny):
        graph = backbones.create("wide_resnet26", image_size=32, width=0.125)
        model = build_network(graph, 7)
        weights.assign(model, weights.arrays(tiny.model), origin="the universal network")
        with pytest.raises(TaskPackError, match=r"'image_size': 16.*received .*'image_size': 32"):
            load_task_pack(pack, Universal(graph, model))

    @pytest.mark.parametrize("pooled", [True, False])
    def test_pack_whose_proxies_pooled_another_way(self, pooled, rng, tmp_path):
        """Networks with negative nodes: their pools were padded with -inf once."""
        universal = depthwise_universal(rng)
        full = Architecture.full(universal.graph.num_blocks, 2)
        kept = full if pooled else full.without(full.proxies)
        student = random_student(universal, kept, rng, len(CLASSES))
        path = tmp_path / "pack"
        save_task_pack(path, TailoredTask(INFO, student))
        tensors, metadata = weights.read(path)
        assert metadata.pop("pools_of_proxies") == "same"
        load_task_pack(path, universal)
        del metadata["checksum"]
        weights.write(path, tensors, metadata)
        expected = pytest.raises(TaskPackError, match=r"padded with -inf; .*tailor again")
        with expected if pooled else contextlib.nullcontext():
            load_task_pack(path, universal)

    def test_missing_file(self, tiny, tmp_path):
        with pytest.raises(WeightsError, match=r"Cannot read weights from .*none"):
            load_task_pack(tmp_path / "none", tiny)

    def test_missing_tensor_is_named(self, pack, tiny):
        tensors, metadata = weights.read(pack)
        del tensors["classifier/bias"], metadata["checksum"]
        weights.write(pack, tensors, metadata)
        with pytest.raises(WeightsError, match=r"vehicles.safetensors does not fit .*classifier/b"):
            load_task_pack(pack, tiny)

    def test_number_of_classes_and_classifier_must_agree(self, tailored, tiny, tmp_path):
        fewer = dataclasses.replace(tailored, info=dataclasses.replace(INFO, classes=CLASSES[:-1]))
        save_task_pack(tmp_path / "pack", fewer)
        with pytest.raises(WeightsError, match=r"classifier/kernel should have shape \(32, 3\)"):
            load_task_pack(tmp_path / "pack", tiny)
