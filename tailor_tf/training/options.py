"""Options of the training loop."""

import dataclasses

from tailor_tf.support.errors import TailorError

CHECKPOINT_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Options that change how a training runs, not its result.

    Attributes:
        checkpoint_seconds: seconds between checkpoints within an epoch; there is also one after
            each epoch. The interval is longer if writing would take more than
            `loop.CHECKPOINT_SHARE` of the time.
        sync_batch_norm: with several replicas, whether batch norms use the statistics of the whole
            batch, not only of their replica's slice.
        jit_compile: whether XLA compiles the training step.

    Raises:
        TailorError: `checkpoint_seconds` is negative or not a number.
    """

    checkpoint_seconds: float = CHECKPOINT_SECONDS
    sync_batch_norm: bool = True
    jit_compile: bool = False

    def __post_init__(self):
        if not self.checkpoint_seconds >= 0:  # nor is "not a number"
            raise TailorError(
                f"checkpoint_seconds is {self.checkpoint_seconds}; expected 0 or more seconds."
            )
