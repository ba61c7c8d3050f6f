"""What a run can be told."""

import dataclasses
from collections.abc import Mapping

from tailor_tf.method import pruning
from tailor_tf.network.costs import COMPLEXITIES
from tailor_tf.records.records import Level
from tailor_tf.support.errors import TailorError
from tailor_tf.training.loop import Recipe

# The settings of the paper's demo (ResNet-34 at 224x224), its rates dropping every 8 epochs.
TEACHER_RECIPE = Recipe(20, batch_size=64, learning_rate=0.01)
STUDENT_RECIPE = Recipe(20, batch_size=32, learning_rate=0.1)
FINETUNE_RECIPE = Recipe(20, batch_size=32, learning_rate=0.01)
COMPLEXITY_WEIGHT = 0.3


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that a run can be told; the defaults are the paper's where they carry over.

    Attributes:
        teacher: how to fine-tune the teacher.
        student: how to train the student.
        finetune: how to fine-tune what pruning leaves.
        baseline: how to train the networks of `baselines`, with which a tailored one is compared.
        max_skip: how many layers back a proxy may read; `None` for all of them.
        complexity: what E[C] counts, one of `costs.COMPLEXITIES`.
        complexity_weight: `gamma1` of eq. 12 while the student is trained; 0 in fine-tuning. `None`
            drives E[C] to the budget of `complexity`, see `complexity.DrivenWeight`.
        teacher_weight: `gamma2` of eq. 12.
        teacher_gradient: "local" or "end_to_end", see `distillation.StudentObjective`.
        estimator: "paper" or "reachability", see `complexity`; "paper" by default, which can be
            negative, and where E[C] is driven to a budget "reachability".
        prune_blocks: numbers of universal blocks to try to remove, from the largest down until one
            is within the tolerance; `None` searches for the leanest network that is.
        proxy_threshold: proxies with a smaller gate are removed.
        tolerance: how many points of validation accuracy the tailored network may lie below its
            teacher; `None` for the most accurate network within `budget`.
        budget: what the tailored network may have at most, by attribute of `costs.Cost`:
            "multiply_adds", "parameters", "task_parameters", "latency_ms".
        seed: of initial weights, order of the images and augmentation.
    """

    teacher: Recipe = TEACHER_RECIPE
    student: Recipe = STUDENT_RECIPE
    finetune: Recipe = FINETUNE_RECIPE
    baseline: Recipe = STUDENT_RECIPE
    max_skip: int | None = 3
    complexity: str = "multiply_adds"
    complexity_weight: float | None = COMPLEXITY_WEIGHT
    teacher_weight: float = 10.0
    teacher_gradient: str = "end_to_end"
    estimator: str | None = None
    prune_blocks: tuple[int, ...] | None = None
    proxy_threshold: float = pruning.PROXY_THRESHOLD
    tolerance: float | None = 0.5
    budget: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 0

    def __post_init__(self):
        if self.estimator is None:
            by_default = "reachability" if self.complexity_weight is None else "paper"
            object.__setattr__(self, "estimator", by_default)
        if self.prune_blocks is not None and self.budget:
            raise TailorError(
                "Both numbers of blocks to remove and a budget are given; leave out one, as a "
                "budget finds the numbers itself."
            )
        if self.tolerance is None and not self.budget:
            raise TailorError("Neither a tolerance nor a budget is given; expected one at least.")
        if self.complexity not in COMPLEXITIES:
            known = ", ".join(COMPLEXITIES)
            raise TailorError(f"Unknown complexity {self.complexity!r}; known are {known}.")
        if self.complexity_weight is None and self.complexity not in self.budget:
            raise TailorError(
                f"The complexity is to be driven to a budget of {self.complexity}, and none is "
                "given; give one, or a complexity weight."
            )

    @property
    def needs_latency(self) -> bool:
        """Whether anything depends on measured latencies."""
        return self.complexity == "latency_ms" or "latency_ms" in self.budget

    def levels(self, num_blocks: int) -> tuple[Level, ...]:
        """The numbers of universal blocks to remove, from the largest down; all are possible.

        Raises:
            TailorError: a number below 0 or above `num_blocks`.
        """
        numbers = range(num_blocks + 1) if self.prune_blocks is None else self.prune_blocks
        for number in numbers:
            if not 0 <= number <= num_blocks:
                raise TailorError(
                    f"Cannot remove {number} universal blocks; expected 0 to {num_blocks}."
                )
        return tuple(Level(number) for number in sorted(set(numbers), reverse=True))
