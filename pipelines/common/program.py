"""Running a program: messages instead of stack traces, exit statuses, TensorBoard logs."""

import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import keras
import tensorflow as tf
from absl import app, flags, logging

from tailor_tf.records.phase import Phase
from tailor_tf.records.workdir import Workdir
from tailor_tf.support import locks
from tailor_tf.support.errors import TailorError
from tailor_tf.training.logs import ScalarLogs

FLAGS = flags.FLAGS
ERROR_STATUS = 2
IN_USE_STATUS = 75  # the usual exit status for "try again later"
INTERRUPTED_STATUS = 130
TERMINATED_STATUS = 143


class _Terminated(KeyboardInterrupt):
    """Another program, such as a scheduler, has asked this one to end (SIGTERM)."""


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a program; errors of the user end in one message instead of a stack trace."""

    def guarded(argv: list[str]) -> None:
        signal.signal(signal.SIGTERM, _terminate)
        logging.set_verbosity(logging.WARNING)
        tf.get_logger().setLevel("ERROR")  # no warning about retracing, which each phase needs
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # other programs may use the GPU
        try:
            main(argv)
        except locks.InUseError as error:
            _fail(f"Error: {error}", IN_USE_STATUS)
        except (TailorError, OSError) as error:
            _fail(f"Error: {error}", ERROR_STATUS)
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            reason = error.message.splitlines()[0]
            _fail(
                f"Error: another host is gone. {reason} Run the same command on all hosts to "
                "continue.",
                ERROR_STATUS,
            )
        except KeyboardInterrupt as error:
            redo = "redo" in FLAGS and FLAGS.redo is not None
            without = ", without --redo," if redo else ""
            ended, status = "Interrupted", INTERRUPTED_STATUS
            if isinstance(error, _Terminated):
                ended, status = "Terminated", TERMINATED_STATUS
            _fail(f"\n{ended}; the same command{without} continues.", status)

    _show_flags_in_help()
    app.run(guarded)


def _terminate(number: int, frame: object) -> NoReturn:
    """Ends the program as Ctrl-C does, so that its temporary folders are removed."""
    signal.signal(number, signal.SIG_DFL)  # a second time, at once
    raise _Terminated


def _show_flags_in_help() -> None:
    """Makes `--help` list the flags of `pipelines.common` like flags of the program itself."""
    for module, found in FLAGS.flags_by_module_dict().items():
        if module.startswith(f"{__package__}."):
            for flag in found:
                FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _fail(message: str, status: int) -> None:
    print(message, file=sys.stderr)
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
