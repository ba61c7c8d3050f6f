import os

import keras
import numpy as np
import pytest
import safetensors.numpy

from tailor_tf import backbones
from tailor_tf.backbones import files as shipped
from tailor_tf.backbones.loading import load_universal
from tailor_tf.backbones.universal import save_universal
from tailor_tf.network import keys, weights
from tailor_tf.network.graph import build_network
from tailor_tf.network.weights import AlteredError, WeightsError
from tests.builders import images, randomise


@pytest.fixture
def model(tiny):
    """A copy of the tiny universal network that a test may change."""
    model = build_network(tiny.graph, 7)
    weights.assign(model, weights.arrays(tiny.model), origin="the fixture")
    return model


class TestFiles:
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_universal_network_round_trip(self, tiny, rng, tmp_path, dtype):
        file = tmp_path / "folder" / "universal.safetensors"
        save_universal(file, tiny.graph, tiny.model, dtype)
        again = load_universal(file)
        assert again.graph.config == tiny.graph.config
        assert not again.model.trainable_variables
        arrays = weights.arrays(again.model)
        assert arrays.keys() == weights.arrays(tiny.model).keys()
        for key, value in weights.arrays(tiny.model).items():
            np.testing.assert_array_equal(arrays[key], value.astype(dtype).astype("float32"))
        x = images(tiny.graph, rng)
        tolerance = 0.0 if dtype == "float32" else 0.05
        received, expected = again.model(x)["logits"], tiny.model(x)["logits"]
        np.testing.assert_allclose(received, expected, atol=tolerance)

    def test_half_precision_halves_the_file(self, tiny, tmp_path):
        sizes = {}
        for dtype in ("float32", "float16"):
            file = tmp_path / dtype
            save_universal(file, tiny.graph, tiny.model, dtype)
            header = 8 + int.from_bytes(file.read_bytes()[:8], "little")
            sizes[dtype] = file.stat().st_size - header
        count = sum(value.size for value in weights.arrays(tiny.model).values())
        assert sizes == {"float32": 4 * count, "float16": 2 * count}

    def test_default_is_half_precision_and_a_fixed_point(self, tiny, tmp_path):
        save_universal(tmp_path / "a", tiny.graph, tiny.model)
        once = load_universal(tmp_path / "a")
        save_universal(tmp_path / "b", once.graph, once.model)
        assert load_universal(tmp_path / "b").fingerprint == once.fingerprint

    def test_settings_override_the_files(self, tiny, tmp_path):
        save_universal(tmp_path / "a", tiny.graph, tiny.model)
        larger = load_universal(tmp_path / "a", image_size=32)
        assert larger.graph.input_shape == (32, 32, 3)
        assert larger.fingerprint == load_universal(tmp_path / "a").fingerprint

    def test_metadata_round_trip(self, tmp_path):
        metadata = {"task": "digits", "classes": ["zero", "one"], "share": 0.5}
        tensors = {"a/kernel": np.arange(6.0).reshape(2, 3).T}  # not contiguous
        weights.write(tmp_path / "file", tensors, metadata)
        received, again = weights.read(tmp_path / "file")
        assert again == metadata
        np.testing.assert_array_equal(received["a/kernel"], tensors["a/kernel"])

    def test_file_of_another_program_has_no_metadata(self, tmp_path):
        safetensors.numpy.save_file({"a": np.ones(2, "float32")}, tmp_path / "file")
        _, metadata = weights.read(tmp_path / "file")
        assert metadata == {}

    @pytest.mark.filterwarnings("ignore:overflow")
    def test_infinite_weight_is_not_written(self, model, tiny, tmp_path):
        model.get_layer("classifier").bias.assign([1e6] * 7)  # more than half precision holds
        with pytest.raises(ValueError, match=r"A weight of wide_resnet26 is not finite in float16"):
            save_universal(tmp_path / "file", tiny.graph, model)
        assert not (tmp_path / "file").exists()


class TestFileErrors:
    def test_missing_file(self, tmp_path):
        with pytest.raises(WeightsError, match=r"Cannot read weights from .*none"):
            weights.read(tmp_path / "none")

    def test_missing_universal_network_lists_the_shipped(self, tmp_path):
        with pytest.raises(WeightsError, match=r"No universal network '.*none'; .*tiny_imagenet"):
            load_universal(tmp_path / "none")

    @pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x08\0\0\0\0\0\0\0{}      "])
    def test_not_a_weights_file(self, tmp_path, content):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(WeightsError):
            load_universal(tmp_path / "file")

    def test_truncated_file(self, tiny, tmp_path):
        save_universal(tmp_path / "file", tiny.graph, tiny.model)
        (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:-100])
        with pytest.raises(WeightsError, match=r"Cannot read weights from .*Expected a safetens"):
            load_universal(tmp_path / "file")

    def test_file_without_description(self, tiny, tmp_path):
        weights.write(tmp_path / "file", weights.arrays(tiny.model), {})
        with pytest.raises(WeightsError, match=r"does not say which"):
            load_universal(tmp_path / "file")

    def test_weights_of_another_width(self, tiny, tmp_path):
        save_universal(tmp_path / "file", tiny.graph, tiny.model)
        message = (
            r"file does not fit wide_resnet26: stem_conv/kernel should have shape "
            r"\(3, 3, 3, 8\), received \(3, 3, 3, 4\)"
        )
        with pytest.raises(WeightsError, match=message):
            load_universal(tmp_path / "file", width=0.25)


class TestAssign:
    def test_mismatch_names_the_first_tensor_and_sets_nothing(self, model):
        before = weights.arrays(model)
        tensors = {key: value + 1 for key, value in before.items()}
        tensors["block3_conv2/kernel"] = np.zeros((1, 2, 3, 4), "float32")
        del tensors["block4_conv1/kernel"]
        message = (
            r"a file does not fit wide_resnet26: block3_conv2/kernel should have shape "
            r"\(3, 3, 8, 8\), received \(1, 2, 3, 4\)"
        )
        with pytest.raises(WeightsError, match=message):
            weights.assign(model, tensors, origin="a file")
        for key, value in weights.arrays(model).items():
            np.testing.assert_array_equal(value, before[key])

    def test_missing_tensor_is_named(self, model):
        tensors = weights.arrays(model)
        del tensors["classifier/bias"]
        message = r"classifier/bias should have shape \(7,\), received no such tensor"
        with pytest.raises(WeightsError, match=message):
            weights.assign(model, tensors, origin="a file")

    def test_sets_wanted_weights_alone(self, model):
        before = weights.arrays(model)
        tensors = {key: value + 1 for key, value in before.items()}
        weights.assign(
            model, tensors, origin="a file", wanted=lambda key: not keys.is_classifier(key)
        )
        for key, value in weights.arrays(model).items():
            classifier = key.startswith("classifier/")
            np.testing.assert_array_equal(value, before[key] if classifier else tensors[key])

    def test_tensors_that_the_model_lacks_are_left_alone(self, model):
        tensors = {**weights.arrays(model), "surplus/kernel": np.ones(3)}
        weights.assign(model, tensors, origin="a file")


class TestFingerprint:
    def test_changes_with_every_universal_weight_and_not_with_the_classifier(self, model):
        original = weights.fingerprint(model)
        seen = {original}
        for key, variable in weights.variables(model).items():
            value = variable.numpy()
            changed = value.copy()
            changed.flat[-1] += 1.0
            variable.assign(changed)
            fingerprint = weights.fingerprint(model)
            if key.startswith("classifier/"):
                assert fingerprint == original
            else:
                assert fingerprint not in seen, key
                seen.add(fingerprint)
            variable.assign(value)
        assert weights.fingerprint(model) == original

    def test_does_not_depend_on_the_number_of_classes(self, model, tiny):
        other = build_network(tiny.graph, 3)
        universal = {k: v for k, v in weights.arrays(model).items() if not keys.is_classifier(k)}
        weights.assign(
            other, universal, origin="the model", wanted=lambda key: not keys.is_classifier(key)
        )
        assert weights.fingerprint(other) == weights.fingerprint(model) == tiny.fingerprint

    def test_swapped_tensors_change_it(self, model):
        original = weights.fingerprint(model)
        first, second = (model.get_layer(name).gamma for name in ("block1_bn1", "block1_bn2"))
        a, b = first.numpy(), second.numpy()
        first.assign(b)
        second.assign(a)
        assert weights.fingerprint(model) != original


def test_keys_are_layer_and_variable():
    graph = backbones.create("cifar_resnet20", image_size=16)
    model = randomise(build_network(graph, 3), np.random.default_rng(0))
    keys = set(weights.variables(model))
    assert {"stem_conv/kernel", "block9_bn2/moving_variance", "classifier/bias"} <= keys
    assert len(keys) == len(model.weights)
    assert all(isinstance(v, keras.Variable) for v in weights.variables(model).values())


class TestDamage:
    """What is no whole file of finite numbers is refused."""

    @pytest.fixture
    def file(self, tiny, tmp_path):
        save_universal(tmp_path / "universal.safetensors", tiny.graph, tiny.model)
        return tmp_path / "universal.safetensors"

    @pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
    def test_altered_bytes(self, file, place):
        content = bytearray(file.read_bytes())
        header = 8 + int.from_bytes(content[:8], "little")
        content[header + int(place * (len(content) - header))] ^= 1
        file.write_bytes(content)
        with pytest.raises(AlteredError, match=r"universal.safetensors was altered: .*checksum"):
            load_universal(file)

    def test_file_of_a_program_that_wrote_no_checksum(self, file, tiny):
        tensors, metadata = weights.read(file)
        del metadata["checksum"]
        weights.write(file, tensors, metadata)
        assert load_universal(file).graph.config == tiny.graph.config

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_not_finite(self, file, value):
        tensors, metadata = weights.read(file)
        tensors["block3_conv1/kernel"][0, 0, 0, 0] = value
        del metadata["checksum"]
        weights.write(file, tensors, metadata)
        with pytest.raises(WeightsError, match=r"damaged: block3_conv1/kernel holds values that"):
            load_universal(file)

    @pytest.mark.parametrize("length", [2**24 + 1, 2**63, 2**64 - 1])
    def test_header_that_says_it_is_huge(self, file, length):
        file.write_bytes(length.to_bytes(8, "little") + file.read_bytes()[8:])
        with pytest.raises(WeightsError, match=rf"a header of {length:,} bytes, expected 16,777,"):
            load_universal(file)

    @pytest.mark.parametrize(
        "text", ["[]", "3", "null", "{", "[" * 5000, '{"a": 1' + "0" * 30 + "}"]
    )
    def test_metadata_that_are_no_object(self, file, text):
        tensors, _ = weights.read(file)
        safetensors.numpy.save_file(tensors, file, metadata={"tailor_tf": text})
        with pytest.raises(WeightsError, match=r"Cannot read weights from .*universal.safetensors"):
            weights.read(file)

    @pytest.mark.parametrize(
        ("setting", "value"),
        [("width", 1e6), ("width", "1"), ("width", float("nan")), ("image_size", 2**31)],
    )
    def test_network_that_no_memory_holds(self, file, setting, value):
        tensors, metadata = weights.read(file)
        metadata["backbone"][setting] = value
        weights.write(file, tensors, weights.sealed(tensors, _without_checksum(metadata)))
        with pytest.raises(
            WeightsError, match=rf"its backbone has {setting} .*; expected a number"
        ):
            load_universal(file)

    def test_pipe_in_the_place_of_a_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(WeightsError, match="pipe is a pipe; expected a regular file"):
            weights.read(tmp_path / "pipe")

    def test_shipped_network_that_was_altered(self, tmp_path, monkeypatch):
        path = tmp_path / "network.safetensors"
        content = bytearray(shipped.SHIPPED["tiny_imagenet"].read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        monkeypatch.setattr(shipped, "SHIPPED", {"tiny_imagenet": path})
        with pytest.raises(AlteredError, match=r"was altered: its SHA-256 is .*Install the proj"):
            load_universal("tiny_imagenet")

    def test_shipped_network_that_is_a_link(self, tmp_path, monkeypatch):
        path = tmp_path / "network.safetensors"
        path.symlink_to(shipped.SHIPPED["tiny_imagenet"])
        monkeypatch.setattr(shipped, "SHIPPED", {"tiny_imagenet": path})
        assert load_universal("tiny_imagenet").graph.name == "wide_resnet26"


def _without_checksum(metadata):
    return {key: value for key, value in metadata.items() if key != "checksum"}
