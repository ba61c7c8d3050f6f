"""Quantisation-aware training, sparsity and clustering, by TensorFlow Model Optimization.

That library knows tf-keras alone, and importing it changes what `tf.keras` is, so that it is used
in a process of its own: `optimize` writes a job into a folder, and this module run as a program
does it. The network is fine-tuned to give the logits that it gave before, on the task's training
images with their augmentation.
"""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
from keras import tree

from export.metadata import ArtifactError
from tailor_tf.method.folding import call_arguments, readers

METHODS = ("quantise", "sparsify", "cluster")
LEARNING_RATES = {"quantise": 1e-5, "sparsify": 1e-4, "cluster": 1e-4}
IMAGES = 20_000  # at most so many training images are used
_RANGE_BATCHES = 20

_KERNELS = ("Conv2D", "DepthwiseConv2D", "Dense")

# What is carried over of each layer; a network with others is refused.
_SETTINGS = {
    "InputLayer": ("batch_shape",),
    "Conv2D": (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "dilation_rate",
        "groups",
        "use_bias",
    ),
    "DepthwiseConv2D": (
        "kernel_size",
        "strides",
        "padding",
        "dilation_rate",
        "depth_multiplier",
        "use_bias",
    ),
    "Dense": ("units", "use_bias"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Add": (),
    "ZeroPadding2D": ("padding",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "GlobalAveragePooling2D": (),
    "Pad": ("pad_width",),
    "GetItem": (),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """What to do to a network.

    Attributes:
        method: "quantise", train with int8 kernels and activations; "sparsify", train while the
            smallest weights of each kernel become zero; "cluster", train kernels of few distinct
            values.
        amount: share of weights that become zero, 0 to 1, or number of values per kernel.
        epochs: passes over the training images.
        learning_rate: of Adam; by default that of the method in `LEARNING_RATES`.
        batch_size: images per step.
        integer_io: whether the int8 file takes and gives int8.
        seed: of order and augmentation.
    """

    method: str
    amount: float = 0.0
    epochs: int = 3
    learning_rate: float | None = None
    batch_size: int = 32
    integer_io: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise ArtifactError(f"Unknown method {self.method!r}; known are {', '.join(METHODS)}.")
        if self.method == "sparsify" and not 0 < self.amount < 1:
            raise ArtifactError(f"sparsity is {self.amount}; expected a share between 0 and 1.")
        if self.method == "cluster" and not 2 <= self.amount <= 256:
            raise ArtifactError(f"clusters is {self.amount}; expected 2 to 256.")


def optimize(
    network: keras.Model, task: Any, job: Job, *, fixed: Collection[str] = ()
) -> bytes | keras.Model:
    """Fine-tunes a network under a constraint.

    Args:
        network: folded, from normalised images to logits; not changed.
        task: the `data.Task`; its training split is used.
        job: what to do.
        fixed: names of convolutions that "quantise" does not train.

    Returns:
        For "quantise" a TFLite file in int8; otherwise a network like the one given, with other
        weights.

    Raises:
        ArtifactError: the network has a layer that the library does not know, or the process
            failed; its last words are in the message.
    """
    if unknown := unknown_layers(network):
        raise ArtifactError(
            f"TensorFlow Model Optimization is not used on {', '.join(unknown)} layers, which "
            f"{network.name} has; known are {', '.join(_SETTINGS)}."
        )
    description = _described(network, fixed)
    chosen = np.random.default_rng(job.seed).permutation(len(task.train))[:IMAGES]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        content = {
            "network": description,
            "preprocessing": task.preprocessing.to_json(),
            "job": dataclasses.asdict(job),
        }
        (path / "job.json").write_text(json.dumps(content), encoding="utf-8")
        arrays = {variable.path: np.asarray(variable) for variable in network.weights}
        np.savez(path / "weights.npz", **arrays)
        np.savez(
            path / "images.npz", images=task.train.images[chosen], labels=task.train.labels[chosen]
        )
        environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [sys.executable, "-m", __name__, folder],
            env=environment,
            cwd=pathlib.Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ArtifactError(
                f"TensorFlow Model Optimization could not {job.method} {network.name}: "
                f"{(done.stderr.strip().splitlines() or ['no message'])[-1]}"
            )
        if job.method == "quantise":
            return (path / "network.tflite").read_bytes()
        with np.load(path / "changed.npz") as changed:
            result = keras.models.clone_model(network)
            result.set_weights([changed[variable.path] for variable in network.weights])
            return result


def unknown_layers(network: keras.Model) -> list[str]:
    """Kinds of layers of a network that `optimize` refuses."""
    return sorted({type(operation).__name__ for operation in network.operations} - set(_SETTINGS))


def _described(network: keras.Model, fixed: Collection[str] = ()) -> list[dict[str, Any]]:
    """A network's operations in their order, JSON-able; ReLUs are part of their convolutions.

    The library leaves the kernel of a convolution unquantised if a ReLU layer follows it.
    """
    read = readers(network)
    made: dict[int, dict[str, Any]] = {}  # by what they make
    described = []
    for operation in network.operations:
        kind = type(operation).__name__
        config = {name: operation.get_config()[name] for name in _SETTINGS[kind]}
        sources = [] if kind == "InputLayer" else tree.flatten(operation.input)
        if kind == "ReLU" and not any(config.values()):
            before = made[id(sources[0])]
            if before["kind"] in _KERNELS and read[id(sources[0])] == 1:
                before["config"]["activation"] = "relu"
                made[id(operation.output)] = before
                continue
        if kind == "GetItem":
            slices = call_arguments(operation).args[1]
            config["slices"] = [[s.start, s.stop, s.step] for s in slices]
        entry = {
            "name": operation.name,
            "kind": kind,
            "config": config,
            "inputs": [made[id(tensor)]["name"] for tensor in sources],
            "weights": [v.path for v in getattr(operation, "weights", ())],
            "trainable": operation.name not in fixed,
        }
        made[id(operation.output)] = entry
        described.append(entry)
    return described


# What follows runs in the process of its own.


def _built(description: list[dict[str, Any]], arrays: Mapping[str, np.ndarray]):
    """The network in tf-keras."""
    import tf_keras

    fixed = _fixed_layer()
    tensors: dict[str, Any] = {}
    for entry in description:
        kind, name, config = entry["kind"], entry["name"], entry["config"]
        if kind == "InputLayer":
            tensors[name] = first = tf_keras.Input(config["batch_shape"][1:], name=name)
            continue
        if kind in ("Pad", "GetItem"):
            layer = fixed(**config, name=name)
        else:
            layer = getattr(tf_keras.layers, kind)(**config, name=name)
        inputs = [tensors[source] for source in entry["inputs"]]
        tensors[name] = last = layer(inputs if kind == "Add" else inputs[0])
        layer.set_weights([arrays[key] for key in entry["weights"]])
        layer.trainable = entry["trainable"]
    return tf_keras.Model(first, last)


@functools.cache
def _fixed_layer():
    """A layer that moves values and computes nothing: padding with zeros, and slices."""
    import tensorflow as tf
    import tf_keras

    class Fixed(tf_keras.layers.Layer):
        def __init__(self, pad_width=None, slices=None, **kwargs):
            super().__init__(**kwargs)
            self.pad_width, self.slices = pad_width, slices

        def call(self, x):
            if self.pad_width:
                return tf.pad(x, self.pad_width)
            return x[tuple(slice(*each) for each in self.slices)]

        def get_config(self):
            return {**super().get_config(), "pad_width": self.pad_width, "slices": self.slices}

    return Fixed


def _quantised(network):
    """The network with fake quantisation; what moves values keeps their scale."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    quantization = tfmot.quantization.keras

    class Untouched(quantization.QuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            return []

        def get_activations_and_quantizers(self, layer):
            return []

        def set_quantize_weights(self, layer, quantize_weights):
            pass

        def set_quantize_activations(self, layer, quantize_activations):
            pass

        def get_output_quantizers(self, layer):
            return []

        def get_config(self):
            return {}

    class ActivationAlone(Untouched):
        def get_activations_and_quantizers(self, layer):
            quantizer = quantization.quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
            return [(layer.activation, quantizer)]

        def set_quantize_activations(self, layer, quantize_activations):
            (layer.activation,) = quantize_activations

    fixed = _fixed_layer()
    scope = {"Fixed": fixed, "Untouched": Untouched, "ActivationAlone": ActivationAlone}

    def annotated(layer):
        if isinstance(layer, fixed):
            return quantization.quantize_annotate_layer(layer, Untouched())
        if isinstance(layer, tf_keras.layers.DepthwiseConv2D) or not layer.trainable:
            # A depthwise kernel would get one scale for all channels, where the converter gives
            # each its own; a fixed one would be trained all the same.
            return quantization.quantize_annotate_layer(layer, ActivationAlone())
        return quantization.quantize_annotate_layer(layer)

    with quantization.quantize_scope(scope):
        marked = tf_keras.models.clone_model(network, clone_function=annotated)
        for new, old in zip(marked.layers, network.layers, strict=True):
            new.set_weights(old.get_weights())
        return quantization.quantize_apply(marked)


def _set_ranges(quantised, network, batches) -> None:
    """Starts the ranges of a quantised network's activations at what they are over some images.

    The library starts them all at -6 to 6 and moves them by a thousandth per step.
    """
    import tf_keras

    outputs = {layer.name: layer.output for layer in network.layers}
    probe = tf_keras.Model(network.input, outputs)
    low, high = dict.fromkeys(outputs, 0.0), dict.fromkeys(outputs, 0.0)
    for images, _ in batches:
        for name, values in probe(images, training=False).items():
            low[name] = min(low[name], float(values.numpy().min()))
            high[name] = max(high[name], float(values.numpy().max()))
    (first,) = network.input_names
    for layer in quantised.layers:
        name = layer.layer.name if hasattr(layer, "layer") else first
        for variable in layer.weights:
            kind = variable.name.partition("/")[2].removesuffix(":0")
            if "kernel" in kind:
                continue
            if kind.endswith("_min"):
                variable.assign(low[name])
            elif kind.endswith("_max"):
                variable.assign(high[name])


def _wrapped(network, job: Job, steps: int):
    """The network to train, its callbacks, and what takes the wrapping off again."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    scope = {"Fixed": _fixed_layer()}
    if job.method == "quantise":
        return _quantised(network), [], lambda model: model
    kernels = (tf_keras.layers.Conv2D, tf_keras.layers.Dense)
    if job.method == "sparsify":
        sparsity = tfmot.sparsity.keras
        every = max(1, min(10, steps // 6))
        last = max(steps * 2 // 3 // every, 1) * every
        schedule = sparsity.PolynomialDecay(0.0, job.amount, 0, last, frequency=every)
        wrap = functools.partial(sparsity.prune_low_magnitude, pruning_schedule=schedule)
        callbacks, strip = [sparsity.UpdatePruningStep()], sparsity.strip_pruning
    else:
        clustering = tfmot.clustering.keras
        wrap = functools.partial(
            clustering.cluster_weights,
            number_of_clusters=int(job.amount),
            cluster_centroids_init=clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
        )
        callbacks, strip = [], clustering.strip_clustering

    def chosen(layer):
        # A depthwise kernel holds few weights and is a Conv2D to nobody but Python.
        is_kernel = type(layer) in kernels
        enough = is_kernel and layer.get_weights()[0].size > 4 * max(job.amount, 1)
        return wrap(layer) if enough else layer

    with tf_keras.utils.custom_object_scope(scope):
        return tf_keras.models.clone_model(network, clone_function=chosen), callbacks, strip


def _run(folder: pathlib.Path) -> None:
    import tensorflow as tf
    import tf_keras

    from tailor_tf.data import Preprocessing, Split, evaluation_batches, training_batches

    content = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    job, preprocessing = Job(**content["job"]), Preprocessing.from_json(content["preprocessing"])
    with np.load(folder / "weights.npz") as arrays, np.load(folder / "images.npz") as data:
        network = _built(content["network"], arrays)
        split = Split("train", data["labels"], data["images"])
    batch = min(job.batch_size, len(split))
    tf_keras.utils.set_random_seed(job.seed)
    before = tf.function(lambda images: tf.nn.softmax(network(images, training=False)))
    copy = tf_keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    model, callbacks, strip = _wrapped(copy, job, job.epochs * (len(split) // batch))
    if job.method == "quantise":
        some = evaluation_batches(split, preprocessing, batch_size=batch).take(_RANGE_BATCHES)
        _set_ranges(model, network, some)
    model.compile(
        tf_keras.optimizers.legacy.Adam(job.learning_rate or LEARNING_RATES[job.method]),
        tf_keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    for epoch in range(job.epochs):
        batches = training_batches(
            split, preprocessing, batch_size=batch, seed=job.seed, epoch=epoch
        )
        model.fit(
            batches.map(lambda images, labels: (images, before(images))),
            callbacks=callbacks,
            verbose=0,
        )
    if job.method == "quantise":
        module = tf.Module()
        module.model = model
        logits = tf.function(lambda images: {"logits": model(images, training=False)})
        images = tf.TensorSpec([1, *model.input.shape[1:]], tf.float32, name="images")
        signatures = {"serving_default": logits.get_concrete_function(images)}
        tf.saved_model.save(module, str(folder / "saved_model"), signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if job.integer_io:
            converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / "network.tflite").write_bytes(converter.convert())
        return
    stripped = strip(model)
    changed = {}
    for entry in content["network"]:
        if entry["weights"]:
            values = stripped.get_layer(entry["name"]).get_weights()
            changed |= dict(zip(entry["weights"], values, strict=True))
    np.savez(folder / "changed.npz", **changed)


if __name__ == "__main__":
    _run(pathlib.Path(sys.argv[1]))
