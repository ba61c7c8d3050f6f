"""Flags and behaviour that the programs share."""

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras
import tensorflow as tf
from absl import app, flags, logging

from tailor_tf import data
from tailor_tf.network.graph import Normalisation
from tailor_tf.support import locks
from tailor_tf.support.errors import TailorError
from tailor_tf.training import loop
from tailor_tf.training.logs import ScalarLogs

FLAGS = flags.FLAGS
ERROR_STATUS = 2
IN_USE_STATUS = 75  # the usual one for "try again later"


def define_task_flags() -> None:
    """Defines the flags that say which images to use and how to prepare them."""
    flags.DEFINE_string("task", "digits", "Images: digits, folder:PATH or tfds:NAME[/CONFIG].")
    flags.DEFINE_string("data_dir", None, "Where TensorFlow Datasets keeps its data.")
    flags.DEFINE_float(
        "validation_fraction",
        0.15,
        "Share of the training images held out for validation where the task has none.",
    )
    flags.DEFINE_bool(
        "flip",
        None,
        "Mirror training images at random; by default unless the task is known to show characters.",
    )
    flags.DEFINE_integer(
        "crop_padding",
        None,
        "Pixels of padding per side for random crops; an eighth of the side by default.",
    )
    flags.DEFINE_integer(
        "resize",
        None,
        "Side to which images are scaled before the network's window is cut out, pixels; the "
        "window's own by default.",
    )
    for name in ("mean", "std"):
        what = {"mean": "Mean", "std": "Standard deviation"}[name]
        flags.DEFINE_list(
            name,
            None,
            f"{what} of red, green and blue, scaled to 0..1; by default that which the universal "
            "network expects, or measured.",
        )
    flags.DEFINE_integer("seed", 0, "Seed of everything random.", lower_bound=0)
    flags.DEFINE_bool(
        "deterministic", False, "Same flags, same bits, on one machine; takes a little longer."
    )


def task_from_flags(image_size: int, normalisation: Normalisation | None = None) -> data.Task:
    """Loads the task that the flags name, its images `image_size` pixels wide and high.

    What `normalisation` says of images goes before what is measured, and flags before both.
    """
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    names = ("data_dir", "validation_fraction", "seed", "flip", "crop_padding", "resize")
    options = {name: FLAGS[name].value for name in names}
    for name in ("mean", "std"):
        options[name] = numbers(FLAGS[name]) or getattr(normalisation, name, None)
    return data.load_task(FLAGS.task, image_size=image_size, **options)


def define_universal_flags() -> None:
    """Defines the flags that say which universal network to use."""
    flags.DEFINE_string(
        "universal",
        "tiny_imagenet",
        "Universal network: tiny_imagenet, which the project ships; a safetensors file; imagenet "
        "or an .h5 file for a --backbone of keras.applications.",
    )
    flags.DEFINE_string(
        "backbone",
        None,
        "What a weights file of a PyTorch program holds, such as resnet34, or a network of "
        "keras.applications, such as MobileNetV2.",
    )
    flags.DEFINE_integer(
        "blocks", None, "How many blocks to cut a network of keras.applications into."
    )
    flags.DEFINE_integer(
        "image_size", None, "Side of the network's square input, pixels; the network's own if None."
    )


def universal_config() -> dict[str, Any]:
    """Arguments for `load_universal` from the flags of `define_universal_flags`."""
    given = {name: FLAGS[name].value for name in ("image_size", "blocks")}
    return {"backbone": FLAGS.backbone} | {k: v for k, v in given.items() if v is not None}


_RECIPE_HELP = {
    "epochs": "passes over the training images",
    "batch_size": "images per step",
    "learning_rate": "learning rate at the start",
    "schedule": "decay of the learning rate: step or cosine",
    "decay": "factor of the step schedule",
    "decay_epochs": "epochs between drops of the step schedule",
    "warmup_epochs": "epochs of linear warm-up before the cosine schedule",
    "momentum": "momentum of SGD",
    "weight_decay": "L2 penalty, added to the gradients; gate logits are exempt",
    "label_smoothing": "probability mass of the target spread over all classes",
}
_DEFINE = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}


def define_recipe_flags(prefix: str, default: loop.Recipe) -> None:
    """Defines a flag per setting of a recipe, their names starting with `prefix`."""
    what = f"{prefix.removesuffix('_')}: " if prefix else ""
    for name, value in dataclasses.asdict(default).items():
        _DEFINE[type(value)](prefix + name, value, what + _RECIPE_HELP[name] + ".")


def recipe_from_flags(prefix: str) -> loop.Recipe:
    """The recipe that the flags of `define_recipe_flags(prefix)` describe."""
    names = [field.name for field in dataclasses.fields(loop.Recipe)]
    recipe = loop.Recipe(**{name: FLAGS[prefix + name].value for name in names})
    times = tf.distribute.get_strategy().num_replicas_in_sync if FLAGS.scale_with_devices else 1
    return dataclasses.replace(
        recipe,
        batch_size=times * recipe.batch_size,
        learning_rate=times * recipe.learning_rate,
    )


def numbers(flag: flags.Flag, kind: type = float) -> tuple[Any, ...] | None:
    """The value of a list flag as floats or, with `int`, integers; `None` if it is not set."""
    if flag.value is None:
        return None
    try:
        return tuple(kind(item) for item in flag.value)
    except ValueError as error:
        word = {float: "numbers", int: "integers"}[kind]
        raise TailorError(
            f"--{flag.name} got {','.join(flag.value)!r}; expected {word} by comma."
        ) from error


def number_or(flag: flags.Flag, kind: type, **words: Any) -> Any:
    """The value of a string flag as `int` or `float`, or what one of `words` stands for."""
    if flag.value in words:
        return words[flag.value]
    try:
        return kind(flag.value)
    except ValueError as error:
        word = {float: "a number", int: "an integer"}[kind]
        raise TailorError(
            f"--{flag.name} got {flag.value!r}; expected {word} or {', '.join(words)}."
        ) from error


STRATEGIES = {
    "default": tf.distribute.get_strategy,  # one device
    "mirrored": tf.distribute.MirroredStrategy,  # all GPUs of this machine
    "multi_worker": tf.distribute.MultiWorkerMirroredStrategy,  # those of all hosts in TF_CONFIG
}


def define_training_flags() -> None:
    """Defines the flags that say which devices train, and how."""
    flags.DEFINE_enum(
        "strategy",
        "default",
        list(STRATEGIES),
        "Which devices share every batch: default, one; mirrored, all GPUs of this machine; or "
        "multi_worker, those of all hosts in TF_CONFIG.",
    )
    flags.DEFINE_bool(
        "sync_batch_norm", True, "Whether batch norms see the whole batch and not a device's part."
    )
    flags.DEFINE_bool(
        "scale_with_devices",
        False,
        "Whether batch sizes are those of one device; learning rates are multiplied likewise then.",
    )
    flags.DEFINE_enum(
        "mixed_precision",
        None,
        ["bfloat16", "float16"],
        "Compute in half precision; weights, gates, statistics and losses stay float32.",
    )
    flags.DEFINE_float(
        "checkpoint_seconds",
        loop.CHECKPOINT_SECONDS,
        "Seconds between states written within an epoch.",
    )
    flags.DEFINE_bool("jit_compile", False, "Whether XLA compiles the training step, for GPUs.")


def training_options() -> dict[str, Any]:
    """Options of `loop.Trainer` that are the same for all phases, from the flags."""
    names = ("checkpoint_seconds", "sync_batch_norm", "jit_compile")
    return {name: FLAGS[name].value for name in names}


@contextlib.contextmanager
def training_workdir() -> Iterator[str]:
    """Takes the devices and the precision that the flags name; gives the folder to write to."""
    if FLAGS.mixed_precision:
        keras.config.set_dtype_policy(f"mixed_{FLAGS.mixed_precision}")
    with (
        strategy_scope(FLAGS.strategy) as strategy,
        own_workdir(FLAGS.workdir, strategy) as workdir,
    ):
        yield workdir


@contextlib.contextmanager
def strategy_scope(name: str) -> Iterator[tf.distribute.Strategy]:
    """The scope in which models that a strategy trains are made and trained.

    Raises:
        TailorError: TF_CONFIG does not describe a cluster.
    """
    if name == "multi_worker" and "TF_CONFIG" not in os.environ:
        raise TailorError(
            "--strategy=multi_worker needs TF_CONFIG, which says what hosts there are and which "
            "this is; see the README. For one host, take mirrored."
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
    """The working directory that this process writes to.

    Of several workers the first one is the chief and writes to `workdir`. The others start from a
    copy of it, so that all go on from the same state, and their own writing is thrown away.
    """
    if _is_chief(strategy):
        _wait_for_all(strategy)
        yield workdir
        return
    with tempfile.TemporaryDirectory() as copy:
        if os.path.isdir(workdir):
            shutil.copytree(workdir, copy, dirs_exist_ok=True)
        _wait_for_all(strategy)
        yield copy


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the cluster's chief: its first worker, unless one is named."""
    resolver = strategy.cluster_resolver
    if not resolver or resolver.task_type == "chief":
        return True
    return not resolver.task_id and "chief" not in resolver.cluster_spec().jobs


def _wait_for_all(strategy: tf.distribute.Strategy) -> None:
    if strategy.num_replicas_in_sync > 1:
        together = tf.function(lambda: strategy.run(lambda: tf.ones([])))
        strategy.reduce(tf.distribute.ReduceOp.SUM, together(), axis=None)


def phase_callbacks(workdir: str) -> Callable[[str], Sequence[keras.callbacks.Callback]]:
    """A progress bar, and TensorBoard logs in a folder of `workdir` per phase."""

    def callbacks(phase: str) -> Sequence[keras.callbacks.Callback]:
        return keras.callbacks.ProgbarLogger(), ScalarLogs(os.path.join(workdir, "logs", phase))

    return callbacks


def flags_into_string() -> str:
    """The flags of the running program as a flag file."""
    module = FLAGS.find_module_defining_flag("workdir")
    own = [f for m in (module, __name__) for f in FLAGS.flags_by_module_dict().get(m, [])]
    lines = {
        f.serialize()
        for f in own
        if f.value is not None and f.name not in ("method", "redo", "until")
    }
    return "".join(f"{line}\n" for line in sorted(lines))


def read_flags_of_run(workdir: str) -> None:
    """Sets the flags that are not given to what a run's `flags.txt` says.

    Raises:
        TailorError: there is no such file.
    """
    path = os.path.join(workdir, "flags.txt")
    if not os.path.exists(path):
        raise TailorError(
            f"{path} does not exist; expected a working directory of pipelines.tailor, or name the "
            "images and the universal network by flags."
        )
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    names = {line: line.lstrip("-").partition("=")[0] for line in lines}

    def is_open(name):
        flag = next((f for f in (name, name.removeprefix("no")) if f in FLAGS), None)
        return flag is not None and not FLAGS[flag].present

    FLAGS(["flags.txt", *(line for line, name in names.items() if is_open(name))])


def no_arguments(argv: Sequence[str]) -> None:
    """Refuses arguments that are no flags, such as a value after a blank."""
    if len(argv) > 1:
        raise TailorError(f"Unexpected argument {argv[1]!r}; everything is given by flags.")


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a program; what a person can cause ends in one message instead of a stack trace."""

    def guarded(argv):
        logging.set_verbosity(logging.WARNING)
        tf.get_logger().setLevel("ERROR")  # it warns of one trace per phase
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # others may be at work there
        try:
            main(argv)
        except locks.InUseError as error:
            print(f"Error: {error}", file=sys.stderr)
            sys.exit(IN_USE_STATUS)
        except (TailorError, OSError) as error:
            print(f"Error: {error}", file=sys.stderr)
            sys.exit(ERROR_STATUS)
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            reason = error.message.splitlines()[0]
            print(
                f"Error: another host is gone. {reason} The same command on all hosts continues.",
                file=sys.stderr,
            )
            sys.exit(ERROR_STATUS)
        except KeyboardInterrupt:
            redo = "redo" in FLAGS and FLAGS.redo is not None
            without = ", without --redo," if redo else ""
            print(f"\nInterrupted; the same command{without} continues.", file=sys.stderr)
            sys.exit(130)

    app.run(guarded)
