"""Running a program: messages instead of stack traces, exit statuses, TensorBoard logs."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import keras
import tensorflow as tf
from absl import app, flags, logging

from pipelines.common import interrupts
from tailor_tf.data import batches
from tailor_tf.records.phase import Phase
from tailor_tf.records.workdir import Workdir
from tailor_tf.support import locks
from tailor_tf.support.errors import TailorError
from tailor_tf.support.text import one_line, printable
from tailor_tf.training.logs import ScalarLogs

FLAGS = flags.FLAGS
ERROR_STATUS = 2
IN_USE_STATUS = 75  # the usual exit status for "try again later"


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a program; errors of the user end in one message instead of a stack trace."""

    def guarded(argv: list[str]) -> None:
        interrupts.raise_ended()
        _log_on_one_line()
        tf.get_logger().setLevel("ERROR")  # no warning about retracing, which each phase needs
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # other programs may use the GPU
        with _messages(), interrupts.nothing_else():
            main(argv)

    _print_all_names()
    _show_flags_in_help()
    app.run(guarded, flags_parser=parse)


class _OneLine(logging.PythonFormatter):
    """Format of warnings, whose names of files may contain control characters."""

    def format(self, record) -> str:
        return printable(super().format(record))


def _log_on_one_line() -> None:
    logging.set_verbosity(logging.WARNING)
    logging.get_absl_handler().setFormatter(_OneLine())


def _print_all_names() -> None:
    """Prints what the terminal's encoding does not have as escapes, as standard error does."""
    sys.stdout.reconfigure(errors="backslashreplace")


def parse(argv: list[str]) -> list[str]:
    """Sets the flags; a wrong one ends the program with one message.

    Args:
        argv: the program's name, its flags and its arguments.

    Returns:
        The program's name and its arguments.
    """
    try:
        arguments = FLAGS(argv)
        _check_lines()
    except (flags.Error, TailorError) as error:
        _fail(f"Error: {error}", ERROR_STATUS)
    except UnicodeDecodeError as error:
        _fail(f"Error: a file of --flagfile is not UTF-8: {error}.", ERROR_STATUS)
    return arguments


def _check_lines() -> None:
    """Refuses values that a flag file, which has a flag on each line, would tear apart."""
    for name in FLAGS:
        flag = FLAGS[name]
        if flag.present and {"\n", "\r", "\0"} & set(str(flag.value)):
            raise TailorError(f"--{name} has a line break in its value; expected one line.")


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Context manager: errors that a person can cause become a message and an exit status."""
    try:
        yield
    except locks.InUseError as error:
        _fail(f"Error: {error}", IN_USE_STATUS)
    except (TailorError, flags.Error, OSError) as error:
        _fail(f"Error: {error}", ERROR_STATUS)
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        reason = error.message.splitlines()[0]
        _fail(
            f"Error: another host is gone. {reason} Run the same command on all hosts to continue.",
            ERROR_STATUS,
        )
    except tf.errors.InvalidArgumentError as error:
        found = batches.data_error(error)
        if found is None:
            raise
        _fail(f"Error: {found}", ERROR_STATUS)
    except interrupts.Ended as ended:
        redo = "redo" in FLAGS and FLAGS.redo is not None
        print(file=sys.stderr)  # behind a progress bar
        _fail(interrupts.message(ended.number, redo), interrupts.STATUS[ended.number])


def _show_flags_in_help() -> None:
    """Makes `--help` list the flags of `pipelines.common` like flags of the program itself."""
    for module, found in FLAGS.flags_by_module_dict().items():
        if module.startswith(f"{__package__}."):
            for flag in found:
                FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _fail(message: str, status: int) -> NoReturn:
    print(one_line(message), file=sys.stderr)
    sys.exit(status)


def no_arguments(argv: Sequence[str]) -> None:
    """Refuses arguments that are not flags, such as a value after a space.

    Raises:
        TailorError: there is such an argument; the message names the first one.
    """
    if len(argv) > 1:
        raise TailorError(f"Unexpected argument {argv[1]!r}; expected only flags, --name=value.")


def callbacks(workdir: str) -> Callable[[Phase], Sequence[keras.callbacks.Callback]]:
    """Callbacks of a phase: a progress bar, and TensorBoard logs in the phase's folder."""
    files = Workdir(workdir)
    return lambda phase: (keras.callbacks.ProgbarLogger(), ScalarLogs(files.logs(phase)))
