"""Layers that the method adds to Keras."""

import contextlib
import contextvars
from collections.abc import Iterator

import keras
from keras import ops

BN_MOMENTUM = 0.9  # weight of the old moving statistics per step; 0.1 in PyTorch's convention
BN_EPSILON = 1e-5


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Context manager: new layers compute in their variables' type, also in mixed precision."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy.variable_dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


_STATISTICS_MOMENTUM = contextvars.ContextVar("statistics_momentum", default=None)


@contextlib.contextmanager
def statistics_momentum(momentum: float) -> Iterator[None]:
    """Context manager: batch norms in training keep their moving statistics with this momentum.

    It is the weight of the old statistics. 1 leaves them as they are, and 0 replaces them by those
    of the batch. A `tf.function` keeps the momentum under which it was traced.
    """
    token = _STATISTICS_MOMENTUM.set(momentum)
    try:
        yield
    finally:
        _STATISTICS_MOMENTUM.reset(token)


def _fused_batch_norm(x, gamma, beta, epsilon):
    """Batch norm in training by TensorFlow's fused kernel: 1.2 to 1.3 times faster steps than ops.

    Returns:
        The normalised tensor, and the batch's mean and unbiased variance, `[channels]` each.
    """
    import tensorflow as tf

    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    return y, mean, variance


def _synchronized_batch_norm(x, gamma, beta, epsilon):
    """The same with the statistics of all replicas of a `tf.distribute` strategy together."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    mean, variance = ops.moments(_at_least_float32(x), axes=(0, 1, 2))
    moments = ops.stack([mean, variance + mean * mean])  # one reduction instead of two
    mean, square = ops.unstack(context.all_reduce(tf.distribute.ReduceOp.MEAN, moments), 2)
    variance = ops.maximum(square - mean * mean, 0.0)  # rounding may make it negative
    y = ops.batch_normalization(_at_least_float32(x), mean, variance, -1, beta, gamma, epsilon)
    count = ops.cast(ops.size(x) // ops.size(mean), variance.dtype) * context.num_replicas_in_sync
    return ops.cast(y, x.dtype), mean, variance * count / ops.maximum(count - 1, 1)


def _at_least_float32(x):
    """A tensor in float32 or wider: half precision is too coarse for sums and divisions."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def _batch_norm(x, gamma, beta, epsilon):
    """The same as `_fused_batch_norm` on any Keras backend."""
    wide = _at_least_float32(x)
    mean, variance = ops.moments(wide, axes=(0, 1, 2))
    y = ops.batch_normalization(wide, mean, variance, -1, beta, gamma, epsilon)
    count = ops.cast(ops.size(x) // ops.size(mean), variance.dtype)
    return ops.cast(y, x.dtype), mean, variance * count / ops.maximum(count - 1, 1)


def _fused_affine(x, factor, offset):
    """`factor * x + offset` as the operation that TensorFlow can fuse with a convolution."""
    import tensorflow as tf

    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=factor,
        offset=offset,
        mean=tf.zeros_like(factor),
        variance=tf.ones_like(factor),
        epsilon=0.0,
        is_training=False,
    ).y


def _affine(x, factor, offset):
    """The same as `_fused_affine` on any Keras backend."""
    return factor * x + offset


@keras.saving.register_keras_serializable(package="tailor_tf")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation over channels; scale and offset can be frozen without the statistics.

    `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`. A universal block keeps `gamma` and
    `beta` for all tasks, while `mean` and `variance` are re-estimated per task. Freezing `gamma`
    and `beta` must therefore not switch the layer to inference mode, as `trainable = False` does in
    Keras. The moving variance averages the unbiased batch variance, as in the authors' program.

    Args:
        freeze_affine: whether `gamma` and `beta` are not trainable.
        momentum: weight of the old moving statistics per training step, 0..1.
        epsilon: added to the variance.

    Call arguments:
        inputs: tensor `[batch, height, width, channels]`.
        training: whether to normalise with the batch's statistics and update the moving ones.

    Output shape: `[batch, height, width, channels]`, as the input.
    """

    def __init__(self, *, freeze_affine=False, momentum=BN_MOMENTUM, epsilon=BN_EPSILON, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.freeze_affine = freeze_affine

    def build(self, input_shape):
        super().build(input_shape)
        self.gamma.trainable = not self.freeze_affine
        self.beta.trainable = not self.freeze_affine

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=False, mask=mask)
        fused = keras.backend.backend() == "tensorflow" and inputs.dtype != "float64"
        normalise = _fused_batch_norm if fused else _batch_norm
        if self.synchronized:
            normalise = _synchronized_batch_norm
        y, mean, variance = normalise(inputs, self.gamma, self.beta, self.epsilon)
        stated = _STATISTICS_MOMENTUM.get()
        momentum = self.momentum if stated is None else stated
        if momentum < 1:
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * momentum + batch * (1 - momentum))
        return y

    def get_config(self):
        return {**super().get_config(), "freeze_affine": self.freeze_affine}


@keras.saving.register_keras_serializable(package="tailor_tf")
class GatedSum(keras.layers.Layer):
    """Attention-weighted sum of the paths into one layer, before its activation.

    `y = sum_i alpha_i * path_i` with `alpha = softmax(logits)` (NetTailor, eq. 2 to 4).

    Args:
        initial_logits: gate logits at the start, one per path, in the order of the paths.

    Call arguments:
        paths: list of tensors `[batch, height, width, channels]`, all of one shape.

    Output shape: `[batch, height, width, channels]`.

    Raises:
        ValueError: when called with another number of paths than there are logits.
    """

    def __init__(self, initial_logits, **kwargs):
        super().__init__(**kwargs)
        self.initial_logits = [float(logit) for logit in initial_logits]

    def build(self, paths_shape):
        self.logits = self.add_weight(
            name="logits",
            shape=(self.num_paths,),
            initializer=lambda shape, dtype: ops.convert_to_tensor(self.initial_logits, dtype),
            autocast=False,
        )

    @property
    def num_paths(self):
        """Number of paths."""
        return len(self.initial_logits)

    def gates(self):
        """Returns `alpha`, tensor `[paths]`, positive and summing to one."""
        return ops.exp(self.logits - ops.logsumexp(self.logits))

    def call(self, paths):
        if len(paths) != self.num_paths:
            raise ValueError(
                f"{self.name} has {self.num_paths} gate logits and was called with "
                f"{len(paths)} paths; expected one path per logit."
            )
        gates = ops.unstack(ops.cast(self.gates(), paths[0].dtype), len(paths))
        total = gates[0] * paths[0]
        for gate, path in zip(gates[1:], paths[1:], strict=True):
            total = total + gate * path
        return total

    def compute_output_shape(self, paths_shape):
        return paths_shape[0]

    def get_config(self):
        return {**super().get_config(), "initial_logits": self.initial_logits}


class SharedGates(GatedSum):
    """The gated sum of some paths of another layer, whose gate logits it shares.

    The gates are the softmax over the logits of these paths, as if the others had been pruned.

    Args:
        source: the other layer, built; this layer takes its name.
        positions: positions of the paths among those of the other layer.
    """

    def __init__(self, source, positions):
        super().__init__([source.initial_logits[i] for i in positions], name=source.name)
        self._source = lambda: source  # hidden, as `Shared` does
        self.positions = list(positions)
        self.built = True

    @property
    def logits(self):
        """The gate logits, tensor `[paths]`."""
        return ops.take(self._source().logits, self.positions)


class Shared(keras.layers.Layer):
    """A frozen layer that computes with another layer, and so shares its weights.

    Calling the other layer itself would share its weights, too. But each call adds a node to a
    layer's graph, so that a deleted network would stay in memory as long as the universal one. This
    layer computes in the precision of its own dtype policy, whatever the policy of the other one.

    Args:
        source: the other layer, built; this layer takes its name.

    Call arguments and output shape are the same as for `source`.
    """

    def __init__(self, source):
        super().__init__(name=source.name)
        self._source = lambda: source  # hidden, or Keras would make the layer a part of this one
        self.shared = list(source.weights)
        self.trainable = False  # also makes the variables not trainable
        self.built = True

    @property
    def source(self):
        """The other layer."""
        return self._source()

    def call(self, inputs):
        return ops.cast(self.source.call(inputs), self.compute_dtype)

    def compute_output_spec(self, inputs):
        shape = self.source.compute_output_spec(inputs).shape
        return keras.KerasTensor(shape, self.compute_dtype)


class SharedConv(keras.layers.Layer):
    """A convolution with the kernel of another layer, then a factor and an offset of its own.

    `y = factor * convolution(x, kernel) + offset`, per output channel. Factor and offset hold the
    task's batch norm and gate, which cannot be folded into the kernel: all tasks share it.

    Args:
        source: the other layer, built, a `Conv2D` or `DepthwiseConv2D`; this layer takes its name,
            strides and dilation, not its bias and activation.
        padding: "valid" or "same".
        affine: array `[2, channels]`, factors and offsets.

    Call arguments:
        inputs: tensor `[batch, height, width, channels]`.

    Output shape: `[batch, height, width, channels]`, as the convolution's.
    """

    def __init__(self, source, padding, affine):
        super().__init__(name=source.name)
        self._source = lambda: source  # hidden, as `Shared` does
        self.padding = padding
        self.kernel = source.kernel
        self.affine = self.add_weight(name="affine", shape=affine.shape, trainable=False)
        self.affine.assign(affine)
        self.built = True

    def call(self, inputs):
        source = self._source()
        depthwise = isinstance(source, keras.layers.DepthwiseConv2D)
        convolved = (ops.depthwise_conv if depthwise else ops.conv)(
            inputs,
            self.kernel,
            strides=source.strides,
            padding=self.padding,
            dilation_rate=source.dilation_rate,
        )
        fused = keras.backend.backend() == "tensorflow"
        return (_fused_affine if fused else _affine)(convolved, *ops.unstack(self.affine, 2))
