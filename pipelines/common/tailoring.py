"""Flags of a tailoring run's settings."""

import keras
from absl import flags

from export import meter
from pipelines.common import training, values
from pipelines.common.values import MANY, given
from tailor_tf.backbones.universal import Universal
from tailor_tf.data.task import Task
from tailor_tf.method.complexity import ESTIMATORS
from tailor_tf.method.distillation import LOGIT_ERRORS, NODE_ERRORS, TEACHER_GRADIENTS
from tailor_tf.network import cost
from tailor_tf.network.architecture import DEPTHWISE, OWN
from tailor_tf.tailoring.settings import ALL, AUTO, RANKINGS, TRAININGS, UNDECIDED, Settings

FLAGS = flags.FLAGS
DEFAULTS = Settings()
COMPLEXITIES = {cost.COUNTS[name].flag: name for name in cost.COUNTS}
_DENSE = "dense"  # value of --max_skip
_LARGEST_BUDGET = 1e15
_RECIPES = ("teacher", "student", "sandwich", "finetune", "baseline")
_AS_GIVEN = (
    "teacher_weight",
    "teacher_gradient",
    "node_errors",
    "logit_errors",
    "training",
    "ranking",
    "identities",
    "own",
    "own_head",
    "estimator",
    "proxy_threshold",
    "test_levels",
    "confidence",
    "undecided",
    "seed",
)


def define() -> None:
    """Defines the flags of the recipes, the method, the target and the latency."""
    for phase in _RECIPES:
        training.define_recipe(f"{phase}_", getattr(DEFAULTS, phase))
    _define_method()
    _define_target()
    flags.DEFINE_enum(
        "latency",
        None,
        meter.PRECISIONS,
        "Measure and record latency in LiteRT, in this precision; if None, latency is measured "
        "only if another flag needs it, in float32.",
    )
    values.define_integer("latency_threads", 1, "Threads of LiteRT.", least=1, most=1024)


def _define_method() -> None:
    values.define_number_or(
        [_DENSE],
        "max_skip",
        DEFAULTS.max_skip,
        "Most layers that a proxy covers, or dense for no limit.",
        kind=int,
        least=1,
        most=MANY,
    )
    values.define_number_or(
        [AUTO, ALL],
        "depth",
        DEFAULTS.depth,
        "Number of blocks behind which the classifier stands, auto to find it by short trainings, "
        "or all. For --method=truncate, auto keeps as many blocks as the budget allows.",
        kind=int,
        least=1,
        most=MANY,
    )
    flags.DEFINE_bool(
        "identities",
        DEFAULTS.identities,
        "Whether the path from the node before is that node itself where shapes agree; otherwise a "
        "proxy as in the paper.",
    )
    flags.DEFINE_enum(
        "own",
        DEFAULTS.own,
        OWN,
        "Weights of universal blocks that belong to the task: statistics of batch norms as in the "
        "paper; also their scales and offsets (affine); also depthwise kernels (depthwise).",
    )
    flags.DEFINE_bool(
        "own_head",
        DEFAULTS.own_head,
        "Whether a classifier that stands before the last block reads a head of the task's own, a "
        "1x1 convolution with batch norm and ReLU; otherwise it reads the node's average.",
    )
    flags.DEFINE_enum("complexity", "madds", list(COMPLEXITIES), "Measure of complexity.")
    values.define_number_or(
        [AUTO],
        "complexity_weight",
        DEFAULTS.complexity_weight,
        "Weight of the expected complexity, gamma 1; auto adjusts it to reach the budget.",
        kind=float,
        least=0,
        most=MANY,
    )
    values.define_number(
        "teacher_weight",
        DEFAULTS.teacher_weight,
        "Weight of the teacher's term, gamma 2.",
        least=0,
        most=MANY,
    )
    flags.DEFINE_enum(
        "teacher_gradient",
        DEFAULTS.teacher_gradient,
        TEACHER_GRADIENTS,
        "Layers that the teacher's term of a layer trains: local for this layer only, end_to_end "
        "for all layers before it, too.",
    )
    flags.DEFINE_enum(
        "node_errors",
        DEFAULTS.node_errors,
        NODE_ERRORS,
        "Errors of the nodes in the teacher's term: relative to the variance of the teacher's "
        "node, or absolute as in the paper.",
    )
    flags.DEFINE_enum(
        "logit_errors",
        DEFAULTS.logit_errors,
        LOGIT_ERRORS,
        "Errors of the logits against the teacher's: divergence of the softened classes, or "
        "squared errors as in the paper.",
    )
    flags.DEFINE_enum(
        "estimator",
        None,
        sorted(ESTIMATORS),
        "Estimator of the expected complexity; by default paper, or reachability with "
        "--complexity_weight=auto.",
    )


def _define_target() -> None:
    flags.DEFINE_enum(
        "training",
        DEFAULTS.training,
        TRAININGS,
        "Training of the pruned networks: sandwich for all levels together, after which a few of "
        "them are fine-tuned; separate for fine-tuning each level by itself, as in the paper.",
    )
    flags.DEFINE_enum(
        "ranking",
        DEFAULTS.ranking,
        RANKINGS,
        "What says which universal blocks are removed first: the loss without them, or the gates "
        "as in the paper.",
    )
    values.define_numbers(
        "prune_blocks",
        None,
        "Numbers of universal blocks to remove, separated by commas, tried from the largest to the "
        "smallest; found by a search by default.",
        kind=int,
        least=0,
        most=MANY,
    )
    values.define_number(
        "proxy_threshold",
        DEFAULTS.proxy_threshold,
        "Remove proxies with a smaller gate than this.",
        least=0,
        most=1,
    )
    values.define_number(
        "tolerance",
        None,
        "Largest loss of validation accuracy against the teacher, percentage points; "
        f"{DEFAULTS.tolerance} by default, no limit if only a budget is given.",
        least=-100,
        most=100,
    )
    flags.DEFINE_bool(
        "test_levels",
        DEFAULTS.test_levels,
        "Whether to measure all levels that were trained to the end on test images, after the "
        "choice; otherwise only the chosen one.",
    )
    values.define_number(
        "confidence",
        DEFAULTS.confidence,
        "Probability with which validation images have to show that a network is within the "
        "tolerance, 0.5 to below 1; 0 if its accuracy on them is enough.",
        least=0,
        below=1,
    )
    flags.DEFINE_enum(
        "undecided",
        DEFAULTS.undecided,
        UNDECIDED,
        "What is within the tolerance where the images cannot show it: lean for each network "
        "whose accuracy on them is, accurate for none.",
    )
    for count in cost.COUNTS.values():
        limit = f"Largest number of {count.words} of the network, such as 20e6."
        if count.flag == "latency":
            limit = "Largest latency for one image in LiteRT on this machine, milliseconds."
        values.define_number(count.budget_flag, None, limit, above=0, most=_LARGEST_BUDGET)


def settings() -> Settings:
    """The settings that the flags describe."""
    limits = {name: FLAGS[count.budget_flag].value for name, count in cost.COUNTS.items()}
    budget = {name: limit for name, limit in limits.items() if limit is not None}
    by_default = None if budget else DEFAULTS.tolerance
    return Settings(
        tolerance=by_default if FLAGS.tolerance is None else FLAGS.tolerance,
        budget=budget,
        complexity=COMPLEXITIES[FLAGS.complexity],
        complexity_weight=None if FLAGS.complexity_weight == AUTO else FLAGS.complexity_weight,
        max_skip=None if FLAGS.max_skip == _DENSE else FLAGS.max_skip,
        depth=FLAGS.depth,
        prune_blocks=None if FLAGS.prune_blocks is None else tuple(FLAGS.prune_blocks),
        **{phase: training.recipe(f"{phase}_") for phase in _RECIPES},
        **given(_AS_GIVEN),
    )


def say_what_is_own(universal: Universal) -> None:
    """Says it if `--own=depthwise` is given for a network without depthwise convolutions."""
    layers = universal.model.layers
    found = any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in layers)
    if FLAGS["own"].present and FLAGS.own == DEPTHWISE and not found:
        print(
            f"{universal.graph.name} has no depthwise convolutions; --own=depthwise is the same as "
            "--own=affine for it.",
            flush=True,
        )


def latency_meter(universal: Universal, task: Task, wanted: Settings) -> meter.Meter | None:
    """A meter of latency; `None` if no flag needs latency."""
    if FLAGS.latency is None and not wanted.needs_latency:
        return None
    return meter.Meter(
        universal.graph,
        wanted.architecture(universal.graph),
        task.num_classes,
        precision=FLAGS.latency or "float32",
        threads=FLAGS.latency_threads,
    )
