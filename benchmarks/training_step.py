"""Time and memory of a training step in each phase, compared with convolutions alone.

All steps are measured in turns in one process, so that the load of the machine affects them
equally. Tables show medians, and ratios with their range over the turns. Weights and images are
random, because speed does not depend on them.

The student's step is compared with two lower bounds, called floors. Both run only TensorFlow's
convolutions, on tensors of the network's shapes. The first has the convolutions of the universal
blocks: forward for the teacher, forward and gradients of inputs for the student. The second also
has the convolutions of the proxies. The student of the default settings, with identities and small
weights of its own, has a floor of its own.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks import networks
from benchmarks.figures import spread
from benchmarks.networks import Network
from pipelines.common import program, values
from tailor_tf import Universal, backbones
from tailor_tf.method.distillation import TEACHER_GRADIENTS, StudentObjective, teacher_loss
from tailor_tf.method.folding import fold
from tailor_tf.method.losses import cross_entropy
from tailor_tf.method.student import build_student
from tailor_tf.network import costs, keys
from tailor_tf.network.architecture import Architecture
from tailor_tf.network.factories import UniversalLayers
from tailor_tf.network.graph import build_network, classifier
from tailor_tf.network.layers import Shared
from tailor_tf.support import measuring
from tailor_tf.support.text import aligned
from tailor_tf.tailoring.settings import Settings
from tailor_tf.training.loop import Trainer
from tailor_tf.training.objective import Classification, Objective
from tailor_tf.training.recipe import Recipe

FLAGS = flags.FLAGS
networks.define(["wide_resnet26:64:32", "resnet18:224:8", "resnet34:224:8"])
values.define_integer("rounds", 10, "Turns of each measurement.", least=1, most=values.MANY)
values.define_number(
    "seconds", 1.0, "Shortest duration of one turn, seconds.", above=0, most=values.MANY
)

CLASSES = 100
_MEMORY_STEPS = 5


class Subject:
    """A network with random weights, and training steps over it.

    Args:
        spec: an item of `--networks`.
    """

    def __init__(self, spec: Network):
        self.name, self.size, self.batch = spec
        self.graph = backbones.create(self.name, image_size=self.size)
        self.universal = Universal(self.graph, build_network(self.graph, CLASSES))
        self.universal.model.trainable = False
        random = np.random.default_rng(0)
        shape = (self.batch, *self.graph.input_shape)
        self.images = tf.constant(random.normal(size=shape), tf.float32)
        self.labels = tf.constant(random.integers(0, CLASSES, self.batch))

    @functools.cached_property
    def teacher(self) -> keras.Model:
        """A folded network with the shapes of the student's teacher and random weights."""
        teacher = build_network(self.graph, CLASSES)
        teacher.trainable = False
        return fold(teacher)

    def objective(self, architecture: Architecture, **options: Any) -> StudentObjective:
        """The objective of a student with some of the paths."""
        student = build_student(self.universal, architecture, CLASSES)
        shares = costs.path_shares(self.graph, architecture)
        return StudentObjective(student, self.teacher, shares, **options)

    @property
    def architecture(self) -> Architecture:
        """All paths."""
        return Architecture.full(self.graph.num_blocks)

    def finetuning(self) -> Callable[[], None]:
        """The step of a teacher, which trains all weights."""
        return self._step(Classification(build_network(self.graph, CLASSES)))

    def student(self, teacher_gradient: str = "end_to_end") -> Callable[[], None]:
        """The step of a student with all paths."""
        objective = self.objective(self.architecture, teacher_gradient=teacher_gradient)
        return self._step(objective)

    def default_student(self) -> Callable[[], None]:
        """The step of a student with all paths of the default settings."""
        objective = self.objective(
            self.default_architecture,
            node_variances=[1.0] * self.graph.num_blocks,
            logit_errors="divergence",
        )
        return self._step(objective)

    @property
    def default_architecture(self) -> Architecture:
        """All paths of the default settings."""
        return Settings().architecture(self.graph)

    def pruned(self) -> Callable[[], None]:
        """A fine-tuning step of a student without every second universal block."""
        gone = [p for p in self.architecture.paths if p.universal and p.target % 2 == 0]
        architecture = self.architecture.without(gone)
        return self._step(self.objective(architecture, complexity_weight=0.0))

    def _step(self, objective: Objective) -> Callable[[], None]:
        trainer = Trainer(objective, Recipe(1), steps_per_epoch=1)
        return lambda: float(trainer.step(self.images, self.labels)["loss"])

    def without_proxies(self) -> Callable[[], None]:
        """The student's step without proxies and gates; its backward pass ends at node 1, too."""
        graph, layers = self.graph, UniversalLayers(self.universal.model)
        images, x = keras.Input(graph.input_shape), keras.Input(graph.node_shape(1))
        node = graph.activate(keys.node(1))(graph.blocks[0](graph.stem(images, layers), layers))
        start = keras.Model(images, node)
        nodes = [x]
        for layer, block in enumerate(graph.blocks[1:], start=2):
            nodes.append(graph.activate(keys.node(layer))(block(nodes[-1], layers)))
        logits = classifier(CLASSES)(graph.head(nodes[-1], layers))
        rest = keras.Model(x, {"logits": logits, "nodes": nodes})

        @tf.function
        def step(images, labels):
            taught = self.teacher(images, training=False)
            node = start(images, training=True)
            with tf.GradientTape() as tape:
                tape.watch(node)
                learned = rest(node, training=True)
                loss = cross_entropy(labels, learned["logits"]) + teacher_loss(
                    learned["nodes"], taught["nodes"], learned["logits"], taught["logits"], 1
                )
            return loss, tape.gradient(loss, node)

        return lambda: float(step(self.images, self.labels)[0])

    def convolutions(
        self, architecture: Architecture | None = None, *, proxies: bool
    ) -> Callable[[], None]:
        """A floor: the convolutions of a student's step alone, with or without proxies."""
        student = build_student(self.universal, architecture or self.architecture, CLASSES)
        learned = [c for c in _convolutions(student.model) if c.universal or proxies]
        taught = [c for c in learned if c.universal]
        inputs = {c.input: tf.random.normal((self.batch, *c.input)) for c in learned}
        outputs = {c.output: tf.random.normal((self.batch, *c.output)) for c in learned}
        # Different kernels, or convolutions that teacher and student share would be done only once.
        kernels = [[tf.random.normal(c.kernel) for c in network] for network in (taught, learned)]

        @tf.function
        def step(inputs, outputs, kernels):
            done = [c.forward(inputs, k) for c, k in zip(taught, kernels[0], strict=True)]
            for convolution, kernel in zip(learned, kernels[1], strict=True):
                done.append(convolution.forward(inputs, kernel))
                done += convolution.backward(inputs, outputs, kernel)
            return [tensor[:1, :1, :1] for tensor in done]

        return lambda: step(inputs, outputs, kernels)[-1].numpy()


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution of a student, without padding.

    Attributes:
        input: height, width and channels of its input.
        output: height, width and channels of its output.
        kernel: height, width, input channels and output channels of its kernel.
        strides: vertical and horizontal stride, pixels.
        depthwise: whether it is a depthwise convolution.
        universal: whether its kernel is universal and frozen.
        differentiated: whether layers before it are trained, so that its input needs a gradient.
    """

    input: tuple[int, ...]
    output: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, int]
    depthwise: bool
    universal: bool
    differentiated: bool

    def forward(self, inputs, kernel):
        """The convolution itself."""
        if self.depthwise:
            return tf.nn.depthwise_conv2d(
                inputs[self.input], kernel, [1, *self.strides, 1], "VALID"
            )
        return tf.nn.conv2d(inputs[self.input], kernel, self.strides, "VALID")

    def backward(self, inputs, outputs, kernel) -> Iterator[tf.Tensor]:
        """The gradients of its input and of its kernel, as far as a step needs them."""
        error, x = outputs[self.output], inputs[self.input]
        of_input, of_kernel = tf.raw_ops.Conv2DBackpropInput, tf.raw_ops.Conv2DBackpropFilter
        if self.depthwise:
            of_input = tf.raw_ops.DepthwiseConv2dNativeBackpropInput
            of_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter
        options = {"strides": [1, *self.strides, 1], "padding": "VALID"}
        if self.differentiated:
            sizes = tf.shape(x)
            yield of_input(input_sizes=sizes, filter=kernel, out_backprop=error, **options)
        if not self.universal:
            yield of_kernel(input=x, filter_sizes=self.kernel, out_backprop=error, **options)


def _convolutions(model: keras.Model) -> Iterator[Convolution]:
    for layer in model.layers:
        source = layer.source if isinstance(layer, Shared) else layer
        if isinstance(source, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            block, inner, _ = keys.split(f"{layer.name}/kernel")
            proxy = keys.split_proxy(inner)
            node = proxy[0] if proxy else max(block - 1, 0)
            yield Convolution(
                layer.input.shape[1:],
                layer.output.shape[1:],
                tuple(source.kernel.shape),
                source.strides,
                isinstance(source, keras.layers.DepthwiseConv2D),
                isinstance(layer, Shared),
                node > 0,
            )


def in_bfloat16(spec: Network) -> Callable[[], None]:
    """The student's step in mixed precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        step = Subject(spec).student()
        step()  # traced here, because Keras reads the policy in the trace
    finally:
        keras.config.set_dtype_policy(before)
    return step


def peak_memory(spec: Network, phase: str) -> int:
    """Largest resident memory of a new process that trains, bytes."""
    return measuring.in_fresh_process(_train_and_look, spec, phase)


def _train_and_look(spec: Network, phase: str) -> int:
    step = getattr(Subject(spec), phase)()
    for _ in range(_MEMORY_STEPS):
        step()
    return measuring.peak_memory()


def measure(spec: Network) -> tuple[list[list[str]], list[str]]:
    """Rows of the table of phases, and the row of the table of ratios."""
    subject = Subject(spec)
    phases = {
        "fine-tuning (teacher)": subject.finetuning(),
        **{f"student, {name}": subject.student(name) for name in TEACHER_GRADIENTS},
        "student, default settings": subject.default_student(),
        "student, half the blocks": subject.pruned(),
        "student, bfloat16": in_bfloat16(spec),
    }
    others = {
        "without proxies": subject.without_proxies(),
        "floor": subject.convolutions(proxies=False),
        "floor with proxies": subject.convolutions(proxies=True),
        "default floor": subject.convolutions(subject.default_architecture, proxies=True),
    }
    times = measuring.in_turns(phases | others, turns=FLAGS.rounds, seconds=FLAGS.seconds)
    seconds = {name: found.means for name, found in times.items()}
    memory = [peak_memory(spec, phase) for phase in ("student", "finetuning")]
    label = f"{subject.name}, {subject.size}x{subject.size}"
    student = seconds["student, end_to_end"]
    rows = [
        [
            label,
            name,
            f"{1000 * np.median(seconds[name]):.0f}",
            f"{subject.batch / np.median(seconds[name]):.0f}",
            spread(seconds[name] / student),
        ]
        for name in phases
    ]
    ratios = [
        label,
        spread(student / seconds["floor"]),
        spread(student / seconds["floor with proxies"]),
        spread(seconds["student, default settings"] / seconds["default floor"]),
        spread(1 - seconds["without proxies"] / student),
        spread(seconds["student, local"] / student),
        f"{memory[0] / memory[1]:.2f} ({memory[0] / 2**20:.0f} / {memory[1] / 2**20:.0f} MB)",
    ]
    return rows, ratios


def main(argv: list[str]) -> None:
    """Prints the two tables, Markdown."""
    program.no_arguments(argv)
    phases = [["network", "phase", "ms / step", "images / s", "time / student's"]]
    ratios = [
        [
            "network",
            "student / floor",
            "student / floor with proxies",
            "default student / its floor",
            "share of proxies and gates",
            "local / end_to_end",
            "memory, student / fine-tuning",
        ]
    ]
    for spec in FLAGS.networks:
        rows, row = measure(spec)
        phases += rows
        ratios.append(row)
    print("\n".join([*aligned(phases, 2), "", *aligned(ratios)]))


if __name__ == "__main__":
    program.run(main)
