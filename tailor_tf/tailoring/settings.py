"""Settings of a tailoring run."""

import dataclasses
from collections.abc import Mapping

from tailor_tf.method import pruning
from tailor_tf.method.distillation import LOGIT_ERRORS, NODE_ERRORS
from tailor_tf.network.architecture import DEPTHWISE, OWN, Architecture
from tailor_tf.network.cost import COUNTS
from tailor_tf.network.graph import BlockGraph, full_architecture
from tailor_tf.records.level import Level
from tailor_tf.support.errors import TailorError
from tailor_tf.training.recipe import Recipe

# Epochs and batch sizes are those of the paper's demo (ResNet-34 at 224x224), which has SGD and
# learning rates of 0.01, 0.1 and 0.01 that drop every 8 epochs. What a student owns is small
# weights of many sizes, which SGD trains unevenly; decay would pull depthwise kernels to zero.
TEACHER_RECIPE = Recipe(20, batch_size=64, learning_rate=0.02, schedule="cosine", warmup_epochs=1.0)
STUDENT_RECIPE = Recipe(
    20,
    batch_size=32,
    learning_rate=0.01,
    schedule="cosine",
    warmup_epochs=1.0,
    optimizer="adam",
    weight_decay=0.0,
)
SANDWICH_RECIPE = dataclasses.replace(STUDENT_RECIPE, learning_rate=0.005)
FINETUNE_RECIPE = dataclasses.replace(SANDWICH_RECIPE, epochs=10)
BASELINE_RECIPE = Recipe(20, batch_size=32, learning_rate=0.1)
COMPLEXITY_WEIGHT = 0.3
AUTO, ALL = "auto", "all"  # depths
RANKINGS = ("loss", "gates")
UNDECIDED = ("lean", "accurate")
TRAININGS = ("sandwich", "separate")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a tailoring run; the defaults are for photographs and networks of ImageNet.

    Attributes:
        teacher: optimisation settings of the teacher's fine-tuning.
        student: optimisation settings of the student's training.
        sandwich: optimisation settings of the training of all levels together.
        finetune: optimisation settings of the fine-tuning after pruning.
        baseline: optimisation settings of the baselines, the networks to compare with.
        max_skip: largest number of layers that a proxy may cover, 3 in the paper; `None` for no
            limit. Beside identities, longer proxies add weights and time, and little else.
        depth: number of blocks behind which the classifier stands; "auto" chooses it by short
            trainings, see `depth_search`; "all" as in the paper, and instead of "auto" if
            `prune_blocks` is given.
        identities: whether the path from the node before is that node itself where shapes agree,
            see `graph.full_architecture`; False for a proxy there, as in the paper.
        own: the weights of universal blocks that belong to the task, one of `architecture.OWN`;
            "statistics" as in the paper.
        own_head: whether a classifier before the last block reads a head of the task's own, see
            `graph.read_out`.
        complexity: the count that complexity means in E[C], one of `cost.COUNTS`.
        complexity_weight: `gamma1` of eq. 12 while the student is trained; in fine-tuning it is 0.
            `None` adjusts it until E[C] reaches the budget of `complexity`, see
            `complexity.DrivenWeight`.
        teacher_weight: `gamma2` of eq. 12; 10 in the paper, whose errors are absolute.
        teacher_gradient: "local" or "end_to_end", see `distillation.StudentObjective`.
        node_errors: what the error of a node in the teacher's term is: "relative" to the variance
            of the teacher's node, or "absolute" as in the paper.
        logit_errors: "divergence" of the softened classes from the teacher's, or "squared" errors
            of the logits as in the paper, see `distillation.StudentObjective`.
        estimator: estimator of E[C], see `complexity`: "paper", which can be negative, or
            "reachability". `None` for "reachability" if `complexity_weight` is `None`, else
            "paper".
        training: how the networks of the levels are trained: "sandwich" for all together, with the
            student's weights, before some of them are fine-tuned, see `sandwich`; "separate" for
            fine-tuning alone, as in the paper.
        prune_blocks: numbers of universal blocks to remove; they are tried from the largest one
            down, until a network is within the tolerance. `None` searches for the leanest network
            within the tolerance.
        ranking: what says which universal blocks are removed first: the "loss" without them, see
            `importance`, or the "gates" as in the paper.
        proxy_threshold: proxies with a smaller gate are removed.
        tolerance: largest loss of validation accuracy against the teacher, percentage points;
            `None` for the most accurate network within `budget`.
        confidence: probability with which the validation images have to show that a network is
            within the tolerance, 0.5 to below 1; 0 if its accuracy on them is enough. The default
            is one standard error.
        undecided: what counts as within the tolerance where the images cannot show it: "lean" for
            every network whose accuracy on them is, "accurate" for none.
        budget: largest allowed counts of the tailored network, by attribute of `cost.Cost`:
            "multiply_adds", "parameters", "task_parameters", "latency_ms".
        test_levels: whether all levels that were trained to the end are measured on test images,
            not only the chosen one; after the choice, which test images have no part in.
        seed: seed of the initial weights, the order of the images and their augmentation.

    Raises:
        TailorError: settings that contradict each other, or an unknown `complexity`,
            `node_errors`, `logit_errors`, `own`, `training`, `ranking` or `undecided`.
    """

    teacher: Recipe = TEACHER_RECIPE
    student: Recipe = STUDENT_RECIPE
    sandwich: Recipe = SANDWICH_RECIPE
    finetune: Recipe = FINETUNE_RECIPE
    baseline: Recipe = BASELINE_RECIPE
    max_skip: int | None = 1
    depth: int | str = AUTO
    identities: bool = True
    own: str = DEPTHWISE
    own_head: bool = True
    complexity: str = "multiply_adds"
    complexity_weight: float | None = COMPLEXITY_WEIGHT
    teacher_weight: float = 0.2
    teacher_gradient: str = "end_to_end"
    node_errors: str = "relative"
    logit_errors: str = "divergence"
    estimator: str | None = None
    training: str = TRAININGS[0]
    prune_blocks: tuple[int, ...] | None = None
    ranking: str = RANKINGS[0]
    proxy_threshold: float = pruning.PROXY_THRESHOLD
    tolerance: float | None = 0.5
    confidence: float = 0.84
    undecided: str = UNDECIDED[0]
    budget: Mapping[str, float] = dataclasses.field(default_factory=dict)
    test_levels: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.estimator is None:
            by_default = "reachability" if self.complexity_weight is None else "paper"
            object.__setattr__(self, "estimator", by_default)
        if self.depth == AUTO and self.prune_blocks is not None:
            object.__setattr__(self, "depth", ALL)  # the numbers are of blocks of the whole network
        if self.prune_blocks is not None and self.budget:
            raise TailorError(
                "Both numbers of blocks to remove and a budget are given; leave out one of them: "
                "with a budget, the numbers of blocks are found automatically."
            )
        if self.tolerance is None and not self.budget:
            raise TailorError("Neither a tolerance nor a budget is given; give one or both.")
        for name, known in (
            ("complexity", COUNTS),
            ("node_errors", NODE_ERRORS),
            ("logit_errors", LOGIT_ERRORS),
            ("own", OWN),
            ("training", TRAININGS),
            ("ranking", RANKINGS),
            ("undecided", UNDECIDED),
        ):
            received = getattr(self, name)
            if received not in known:
                raise TailorError(f"Unknown {name} {received!r}; known are {', '.join(known)}.")
        self._check_confidence()
        if unknown := set(self.budget) - set(COUNTS):
            raise TailorError(
                f"Unknown count {min(unknown)!r} in the budget; known are {', '.join(COUNTS)}."
            )
        if self.complexity_weight is None and self.complexity not in self.budget:
            raise TailorError(
                f"There is no complexity weight and no budget of {self.complexity}; give a budget "
                "of it, which the weight is then adjusted to, or a complexity weight."
            )

    def _check_confidence(self) -> None:
        if self.confidence != 0 and not 0.5 <= self.confidence < 1:
            raise TailorError(
                f"confidence is {self.confidence}; expected a probability from 0.5 to below 1, or "
                "0 to take accuracies on validation images as they are."
            )
        strict = self.undecided == "accurate" and self.confidence > 0.5
        if strict and self.tolerance is not None and self.tolerance <= 0:
            raise TailorError(
                f"With a tolerance of {self.tolerance:g} points, no number of images shows that an "
                "equally accurate network is within it; expected a tolerance above 0, "
                "undecided='lean', or a confidence of 0."
            )

    @property
    def trains_together(self) -> bool:
        """Whether the networks of all levels are trained together before some are fine-tuned."""
        return self.training == "sandwich"

    @property
    def needs_latency(self) -> bool:
        """Whether the complexity or the budget needs measured latencies."""
        return self.complexity == "latency_ms" or "latency_ms" in self.budget

    def architecture(self, graph: BlockGraph, depth: int | None = None) -> Architecture:
        """The student with all paths over the universal network `graph`.

        Args:
            graph: the universal network's description.
            depth: number of layers, behind which the classifier stands; all by default.

        Raises:
            TailorError: a depth that the network does not have.
        """
        return full_architecture(
            graph,
            max_skip=self.max_skip,
            identities=self.identities,
            own=self.own,
            depth=depth,
            own_head=self.own_head,
        )

    def levels(self, num_blocks: int) -> tuple[Level, ...]:
        """The levels to try, from the largest number of blocks to remove to the smallest.

        Args:
            num_blocks: number of blocks of the universal network.

        Raises:
            TailorError: a number of blocks to remove is below 0 or above `num_blocks`.
        """
        numbers = range(num_blocks + 1) if self.prune_blocks is None else self.prune_blocks
        for number in numbers:
            if not 0 <= number <= num_blocks:
                raise TailorError(
                    f"Cannot remove {number} universal blocks; expected 0 to {num_blocks}."
                )
        return tuple(Level(number) for number in sorted(set(numbers), reverse=True))
