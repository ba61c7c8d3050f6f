"""Statistics of batch norms that are estimated anew, beside NumPy's."""

import keras
import numpy as np
import tensorflow as tf

from tailor_tf.network.layers import BatchNorm
from tailor_tf.training.statistics import estimate_statistics
from tests.builders import randomise


def test_statistics_are_the_means_of_those_of_the_batches(rng):
    inputs = keras.Input((6, 6, 3))
    norm, frozen = BatchNorm(name="norm"), BatchNorm(name="frozen", trainable=False)
    outputs = frozen(norm(keras.layers.Conv2D(4, 3, name="conv")(inputs)))
    model = randomise(keras.Model(inputs, outputs), rng)
    x = rng.normal(1.0, 2.0, (24, 6, 6, 3)).astype("float32")
    before = {v.path: v.numpy() for v in model.variables}

    estimate_statistics(model, tf.data.Dataset.from_tensor_slices((x, np.zeros(24))).batch(8))

    convolved = np.array(model.get_layer("conv")(x)).reshape(3, 8 * 16, 4)
    np.testing.assert_allclose(norm.moving_mean, convolved.mean((0, 1)), rtol=1e-4, atol=1e-5)
    variances = convolved.var(1, ddof=1).mean(0)
    np.testing.assert_allclose(norm.moving_variance, variances, rtol=1e-4)
    for path in before:
        if not path.startswith("norm/moving"):
            now = next(v for v in model.variables if v.path == path)
            np.testing.assert_array_equal(now, before[path], err_msg=path)


def test_later_training_keeps_its_own_momentum(rng):
    inputs = keras.Input((4, 4, 2))
    norm = BatchNorm(name="norm")
    model = keras.Model(inputs, norm(inputs))
    x = rng.normal(3.0, 1.0, (8, 4, 4, 2)).astype("float32")
    estimate_statistics(model, tf.data.Dataset.from_tensors((x, np.zeros(8))))
    mean = norm.moving_mean.numpy()
    model(x + 10, training=True)
    np.testing.assert_allclose(norm.moving_mean, 0.9 * mean + 0.1 * (mean + 10), rtol=1e-4)
