import gc
import weakref

import keras
import numpy as np
import pytest

from tailor_tf.network.factories import NewLayers, UniversalLayers
from tailor_tf.network.layers import BatchNorm, GatedSum

MOMENTUM, EPSILON = 0.9, 1e-5


def _normalise(x, weights, mean, variance):
    gamma, beta = weights[:2]
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


def _random_batch_norm(rng, channels=3, **options):
    layer = BatchNorm(**options)
    layer.build((None, None, None, channels))
    layer.set_weights(
        [
            rng.uniform(0.5, 1.5, channels),  # gamma
            rng.normal(size=channels),  # beta
            rng.normal(size=channels),  # moving mean
            rng.uniform(0.5, 2.0, channels),  # moving variance
        ]
    )
    return layer, layer.get_weights()


def _input(rng, dtype="float32"):
    return rng.normal(2.0, 3.0, size=(4, 5, 6, 3)).astype(dtype)


class TestBatchNorm:
    @pytest.mark.parametrize("training", [False, None])
    def test_inference_uses_moving_statistics(self, rng, training):
        layer, weights = _random_batch_norm(rng)
        x = _input(rng)
        expected = _normalise(x, weights, weights[2], weights[3])
        np.testing.assert_allclose(layer(x, training=training), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(layer.get_weights(), weights)

    # TensorFlow's fused kernel takes float32; float64 goes through the operations of any backend.
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("freeze_affine", [False, True])
    def test_training_uses_batch_and_moves_statistics(self, rng, dtype, freeze_affine):
        layer, weights = _random_batch_norm(rng, dtype=dtype, freeze_affine=freeze_affine)
        x = _input(rng, dtype)
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        y = layer(x, training=True)
        np.testing.assert_allclose(y, _normalise(x, weights, mean, variance), rtol=1e-4, atol=1e-5)
        count = 4 * 5 * 6
        unbiased = variance * count / (count - 1)
        moved = [
            MOMENTUM * weights[2] + (1 - MOMENTUM) * mean,
            MOMENTUM * weights[3] + (1 - MOMENTUM) * unbiased,
        ]
        np.testing.assert_allclose(layer.get_weights()[2:], moved, rtol=1e-5)

    def test_untrainable_layer_stays_in_inference(self, rng):
        layer, weights = _random_batch_norm(rng)
        layer.trainable = False
        x = _input(rng)
        expected = _normalise(x, weights, weights[2], weights[3])
        np.testing.assert_allclose(layer(x, training=True), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(layer.get_weights(), weights)

    @pytest.mark.parametrize(("freeze_affine", "trainable"), [(False, 2), (True, 0)])
    def test_affine_part_is_trainable_unless_frozen(self, rng, freeze_affine, trainable):
        layer, _ = _random_batch_norm(rng, freeze_affine=freeze_affine)
        assert len(layer.trainable_variables) == trainable
        assert len(layer.weights) == 4

    def test_serialisation_round_trip(self, rng):
        layer = BatchNorm(freeze_affine=True, momentum=0.7, epsilon=1e-3, name="norm")
        config = keras.saving.serialize_keras_object(layer)
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is BatchNorm
        assert again.get_config() == layer.get_config()
        assert (again.freeze_affine, again.momentum, again.epsilon) == (True, 0.7, 1e-3)

    def test_model_file_round_trip(self, rng, tmp_path):
        layer, weights = _random_batch_norm(rng, freeze_affine=True)
        x = keras.Input((5, 6, 3))
        keras.Model(x, layer(x)).save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(again.get_weights(), weights)
        assert again.trainable_variables == []


def _softmax(logits):
    exponentials = np.exp(np.asarray(logits, "float64"))
    return exponentials / exponentials.sum()


class TestGatedSum:
    @pytest.mark.parametrize("logits", [[0.3], [2.0, -2.0], [1.0, 0.0, -1.0, 5.0]])
    def test_is_softmax_weighted_sum(self, rng, logits):
        paths = [rng.normal(size=(2, 3, 4, 5)).astype("float32") for _ in logits]
        expected = sum(g * path for g, path in zip(_softmax(logits), paths, strict=True))
        layer = GatedSum(logits)
        np.testing.assert_allclose(layer(paths), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.gates(), _softmax(logits), rtol=1e-6)

    def test_one_path_has_gate_one(self, rng):
        path = rng.normal(size=(2, 3, 4, 5)).astype("float32")
        layer = GatedSum([-7.0])
        np.testing.assert_array_equal(layer([path]), path)
        assert float(layer.gates()[0]) == 1.0

    def test_gates_of_far_logits_are_finite(self):
        layer = GatedSum([1000.0, -1000.0])
        layer.build([(None, 1, 1, 1)] * 2)
        np.testing.assert_array_equal(layer.gates(), [1.0, 0.0])

    def test_another_number_of_paths_is_refused(self, rng):
        path = rng.normal(size=(2, 3, 4, 5)).astype("float32")
        with pytest.raises(ValueError, match=r"2 gate logits and was called with 3 paths"):
            GatedSum([0.0, 0.0])([path] * 3)

    def test_another_number_of_paths_is_refused_after_the_first_call(self, rng):
        path = rng.normal(size=(2, 3, 4, 5)).astype("float32")
        layer = GatedSum([0.0, 0.0])
        layer([path] * 2)
        with pytest.raises(ValueError, match=r"2 gate logits and was called with 3 paths"):
            layer([path] * 3)

    def test_serialisation_round_trip(self):
        layer = GatedSum((2, -2.0), name="gate")
        assert layer.get_config()["initial_logits"] == [2.0, -2.0]
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert type(again) is GatedSum
        assert again.get_config() == layer.get_config()

    def test_output_shape(self):
        shape = (None, 3, 4, 5)
        assert GatedSum([0.0, 0.0]).compute_output_shape([shape, shape]) == shape


class TestFactories:
    def test_new_layers_are_trainable_and_without_bias(self):
        conv = NewLayers().conv("conv", 4, 3, 2)
        conv.build((None, 8, 8, 3))
        assert [tuple(v.shape) for v in conv.trainable_variables] == [(3, 3, 3, 4)]
        assert (conv.strides, conv.padding) == ((2, 2), "valid")
        assert not NewLayers().batch_norm("norm").freeze_affine

    def test_universal_layers_share_kernels_and_copy_batch_norms(self, tiny):
        factory = UniversalLayers(tiny.model)
        source = tiny.model.get_layer("block1_bn1")
        copy = factory.batch_norm("block1_bn1")
        kernel = tiny.model.get_layer("block1_conv1").kernel
        assert factory.conv("block1_conv1", 8, 3, 1).weights[0] is kernel
        assert copy is not source
        assert copy.freeze_affine
        np.testing.assert_array_equal(copy.get_weights(), source.get_weights())

    def test_a_dropped_network_is_freed_while_the_universal_one_lives(self, tiny):
        conv = UniversalLayers(tiny.model).conv("stem_conv", 4, 3, 1)
        inputs = keras.Input((16, 16, 3))
        network = keras.Model(inputs, conv(inputs))
        dropped = weakref.ref(network.layers[-1])
        del network, conv, inputs
        gc.collect()
        assert dropped() is None
