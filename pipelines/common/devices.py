"""Flags of the training devices and of precision, and the working directory of each process."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

import keras
import tensorflow as tf
from absl import flags

from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS

STRATEGIES = {
    "default": tf.distribute.get_strategy,  # one device
    "mirrored": tf.distribute.MirroredStrategy,  # all GPUs of this machine
    "multi_worker": tf.distribute.MultiWorkerMirroredStrategy,  # all GPUs of the TF_CONFIG hosts
}


def define() -> None:
    """Defines the flags of the devices and of precision."""
    flags.DEFINE_enum(
        "strategy",
        "default",
        list(STRATEGIES),
        "Devices that share each batch: default for one device; mirrored for all GPUs of this "
        "machine; multi_worker for the GPUs of all hosts in TF_CONFIG.",
    )
    flags.DEFINE_enum(
        "mixed_precision",
        None,
        ["bfloat16", "float16"],
        "Compute in half precision; weights, gates, statistics and losses stay float32.",
    )


@contextlib.contextmanager
def training_workdir() -> Iterator[str]:
    """Context manager: sets devices and precision from flags; yields the folder to write to."""
    if FLAGS.mixed_precision:
        keras.config.set_dtype_policy(f"mixed_{FLAGS.mixed_precision}")
    with (
        strategy_scope(FLAGS.strategy) as strategy,
        own_workdir(FLAGS.workdir, strategy) as workdir,
    ):
        yield workdir


@contextlib.contextmanager
def strategy_scope(name: str) -> Iterator[tf.distribute.Strategy]:
    """Context manager: the scope of a strategy, in which models are made and trained.

    Args:
        name: one of `STRATEGIES`.

    Raises:
        TailorError: the strategy cannot start, such as with a TF_CONFIG that is not a cluster.
    """
    if name == "multi_worker" and "TF_CONFIG" not in os.environ:
        raise TailorError(
            "--strategy=multi_worker needs TF_CONFIG, which lists the hosts and the index of this "
            "one; see the README. For a single host, use --strategy=mirrored."
        )
    try:
        strategy = STRATEGIES[name]()
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise TailorError(
            f"--strategy={name} cannot start: {error}. TF_CONFIG is "
            f"{os.environ.get('TF_CONFIG', 'not set')}."
        ) from error
    with strategy.scope():
        yield strategy


@contextlib.contextmanager
def own_workdir(workdir: str, strategy: tf.distribute.Strategy) -> Iterator[str]:
    """Context manager: yields the working directory that this process writes to.

    If there are several workers, only the chief writes to `workdir`. The others start from a copy
    of it, so that all continue from the same state, and the copy is deleted in the end.
    """
    if is_chief(strategy):
        _wait_for_all(strategy)
        yield workdir
        return
    with tempfile.TemporaryDirectory() as copy:
        if os.path.isdir(workdir):
            shutil.copytree(workdir, copy, dirs_exist_ok=True)
        _wait_for_all(strategy)
        yield copy


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the cluster's chief, by default the first worker."""
    resolver = strategy.cluster_resolver
    if not resolver or resolver.task_type == "chief":
        return True
    return not resolver.task_id and "chief" not in resolver.cluster_spec().jobs


def _wait_for_all(strategy: tf.distribute.Strategy) -> None:
    if strategy.num_replicas_in_sync > 1:
        together = tf.function(lambda: strategy.run(lambda: tf.ones([])))
        strategy.reduce(tf.distribute.ReduceOp.SUM, together(), axis=None)
